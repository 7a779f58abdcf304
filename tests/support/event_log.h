// What a Messenger told its application, to be waited for.
#ifndef PYLABHUB_TESTS_SUPPORT_EVENT_LOG_H_
#define PYLABHUB_TESTS_SUPPORT_EVENT_LOG_H_

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>

#include "client/messenger_event.h"

namespace pylabhub::testing {

// Thread-safe. Must outlive the Messengers that add to it.
class EventLog {
 public:
  void Add(const MessengerEvent& event) {
    {
      const std::lock_guard lock(mutex_);
      events_.push_back(event);
    }
    changed_.notify_all();
  }

  // For MessengerOptions.on_event.
  MessengerEventHook Hook() {
    return [this](const MessengerEvent& event) { Add(event); };
  }

  // The next event of that kind; those before it are dropped. Nothing if none comes for half a minute.
  std::optional<MessengerEvent> Await(MessengerEventKind kind) {
    std::unique_lock lock(mutex_);
    std::optional<MessengerEvent> found;
    changed_.wait_for(lock, std::chrono::seconds(30), [&] {
      while (!events_.empty() && !found.has_value()) {
        if (events_.front().kind == kind) found = events_.front();
        events_.pop_front();
      }
      return found.has_value();
    });
    return found;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<MessengerEvent> events_;
};

}  // namespace pylabhub::testing

#endif  // PYLABHUB_TESTS_SUPPORT_EVENT_LOG_H_
