// A store in memory that a test can make slow or full, and somebody who writes down which events were told.
#ifndef PYLABHUB_TESTS_BROKER_STORE_FAKE_STORE_H_
#define PYLABHUB_TESTS_BROKER_STORE_FAKE_STORE_H_

#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "broker/channel_types.h"
#include "broker/store/store.h"

namespace pylabhub::broker {

// Thread safety: thread-safe.
class FakeStore final : public Store {
 public:
  ~FakeStore() override {
    if (copy_ != nullptr) *copy_ = contents_;
  }

  absl::StatusOr<StoredRows> Load() override {
    const std::lock_guard lock(mutex_);
    StoredRows stored;
    for (const auto& [key, value] : contents_) stored.rows.push_back({key, value});
    return stored;
  }

  absl::Status Commit(const std::vector<Row>& rows) override {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !blocked_; });
    if (!failure_.empty() || failures_left_ > 0) {
      if (failures_left_ > 0) --failures_left_;
      ++failure_count_;
      changed_.notify_all();
      return absl::UnavailableError(failure_.empty() ? "failing for a while" : failure_);
    }
    ++commit_count_;
    for (const Row& row : rows) {
      if (row.value.has_value()) {
        contents_[row.key] = *row.value;
      } else {
        contents_.erase(row.key);
      }
    }
    return absl::OkStatus();
  }

  void Fail(const std::string& message) {
    Set([&] { failure_ = message; });
  }
  void FailTimes(int times) {
    Set([&] { failures_left_ = times; });
  }
  void Recover() {
    Set([&] {
      failure_.clear();
      failures_left_ = 0;
    });
  }
  void Block() {
    Set([&] { blocked_ = true; });
  }
  void Unblock() {
    Set([&] { blocked_ = false; });
  }
  void AwaitFailures(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return failure_count_ >= count; });
  }

  std::map<std::string, std::string> contents() const {
    const std::lock_guard lock(mutex_);
    return contents_;
  }
  int commit_count() const {
    const std::lock_guard lock(mutex_);
    return commit_count_;
  }
  // Writes what it holds there when it ends.
  void CopyContentsTo(std::map<std::string, std::string>* copy) { copy_ = copy; }

 private:
  template <typename Function>
  void Set(Function function) {
    {
      const std::lock_guard lock(mutex_);
      function();
    }
    changed_.notify_all();
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::string> contents_;
  std::string failure_;
  int failures_left_ = 0;
  int failure_count_ = 0;
  int commit_count_ = 0;
  bool blocked_ = false;
  std::map<std::string, std::string>* copy_ = nullptr;
};

// Events of which only the revision is told apart.
inline std::vector<Event> EventsOf(const std::vector<uint64_t>& revisions) {
  std::vector<Event> events;
  for (const uint64_t revision : revisions) events.push_back({.revision = revision});
  return events;
}

// Thread safety: thread-safe.
class ToldEvents {
 public:
  void Add(const std::vector<Event>& events) {
    {
      const std::lock_guard lock(mutex_);
      for (const Event& event : events) revisions_.push_back(event.revision);
    }
    added_.notify_all();
  }
  // Until there are at least `count`.
  void Await(size_t count) {
    std::unique_lock lock(mutex_);
    added_.wait(lock, [&] { return revisions_.size() >= count; });
  }
  std::vector<uint64_t> revisions() const {
    const std::lock_guard lock(mutex_);
    return revisions_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable added_;
  std::vector<uint64_t> revisions_;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_TESTS_BROKER_STORE_FAKE_STORE_H_
