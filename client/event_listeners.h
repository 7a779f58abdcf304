// Those who want a Messenger's events, beside its application: handles that close by themselves.
//
// Thread safety: thread-safe. A listener that is removed while it is being told may still be told once.
#ifndef PYLABHUB_CLIENT_EVENT_LISTENERS_H_
#define PYLABHUB_CLIENT_EVENT_LISTENERS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "client/messenger_event.h"

namespace pylabhub {

class EventListeners {
 public:
  using Id = uint64_t;

  Id Add(MessengerEventHook hook) {
    const std::lock_guard lock(mutex_);
    hooks_.emplace(++last_id_, std::make_shared<const MessengerEventHook>(std::move(hook)));
    return last_id_;
  }

  void Remove(Id id) {
    const std::lock_guard lock(mutex_);
    hooks_.erase(id);
  }

  bool empty() const {
    const std::lock_guard lock(mutex_);
    return hooks_.empty();
  }

  // With no lock held.
  void Tell(const MessengerEvent& event) const {
    std::vector<std::shared_ptr<const MessengerEventHook>> hooks;
    {
      const std::lock_guard lock(mutex_);
      for (const auto& [id, hook] : hooks_) hooks.push_back(hook);
    }
    for (const auto& hook : hooks) (*hook)(event);
  }

 private:
  mutable std::mutex mutex_;
  Id last_id_ = 0;                                                 // guarded by mutex_
  std::map<Id, std::shared_ptr<const MessengerEventHook>> hooks_;  // guarded by mutex_
};

}  // namespace pylabhub

#endif  // PYLABHUB_CLIENT_EVENT_LISTENERS_H_
