// A thread that runs tasks one after the other, in the order in which they were added.
//
// Thread safety: thread-safe. A task may add tasks. No lock is held while a task runs.
// Ownership:     the destructor closes the queue.
#ifndef PYLABHUB_CLIENT_SERIAL_QUEUE_H_
#define PYLABHUB_CLIENT_SERIAL_QUEUE_H_

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace pylabhub {

class SerialQueue {
 public:
  SerialQueue();
  SerialQueue(const SerialQueue&) = delete;
  SerialQueue& operator=(const SerialQueue&) = delete;
  ~SerialQueue() { Close(); }

  // Runs what was added before it, and returns when all of it has ended; what is added later never runs.
  // Idempotent. Must not run in a task of this queue.
  void Close();

  void Add(std::function<void()> task);

  // True in a task of this queue.
  bool IsCurrentThread() const { return thread_.get_id() == std::this_thread::get_id(); }

 private:
  void Run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;  // guarded by mutex_
  bool stopping_ = false;                    // guarded by mutex_
  std::thread thread_;                       // last: it uses the others
};

}  // namespace pylabhub

#endif  // PYLABHUB_CLIENT_SERIAL_QUEUE_H_
