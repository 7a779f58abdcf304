// A thread that sleeps on words in another thread's place: for who may sleep on one word only, because a sandbox
// refuses FutexWaitAny, or has more of them than FutexWaitAny takes. When one of its words changes it rings: it sets a
// bit in its owner's own word, wakes the owner, and rests until it is told again what to watch.
//
//   owner                                                 watcher
//   1. clear the bit (acquire)  <-------- R -----------   3. set the bit (release), wake the owner
//   2. resting? tell it what to watch                     2. finished = the order that it had (release)
//   3. sleep on the own word while the bit is clear       1. one of the words changed
//
// R: an owner that has cleared a ring's bit sees that this watcher rests, and sends it out again; a ring that comes
//    later keeps the owner from sleeping.
//
// The watcher only hands addresses of words to the kernel, and never reads one itself; Rest makes it let go of them
// before they are unmapped.
//
// Thread safety: thread-compatible; all but the thread inside belongs to the owner's thread.
// Ownership:     the bell and the words outlive it, or the next Rest.
// Fork:          a child of fork() has no such thread: nothing is waited for there.
#ifndef PYLABHUB_SHM_OS_FUTEX_WATCHER_H_
#define PYLABHUB_SHM_OS_FUTEX_WATCHER_H_

#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "shm/os/fork_guard.h"
#include "shm/os/futex.h"

namespace pylabhub::shm {

class FutexWatcher {
 public:
  enum class Words : uint8_t { kOne, kMany };  // kMany needs a FutexWaitAny that is not refused
  // It has one word of its own beside those that it watches.
  static constexpr size_t kMaxWords = kMaxFutexWords - 1;

  // Rings by setting `ring` in `bell`.
  FutexWatcher(std::atomic<uint32_t>& bell, uint32_t ring, Words words)
      : bell_(bell), ring_(ring), many_(words == Words::kMany) {}
  ~FutexWatcher();
  FutexWatcher(const FutexWatcher&) = delete;
  FutexWatcher& operator=(const FutexWatcher&) = delete;

  // Rings as soon as one of `words` changes (at once if it has): one, or up to kMaxWords. Does nothing if it is asleep
  // on the same words already. False if the system has no thread for it: then nothing is watched.
  bool Watch(std::span<const FutexWord> words);
  // Returns when the thread does not sleep on its words any more, and will not before the next Watch.
  void Rest();
  bool IsAsleepOn(const uint32_t* word) const;

 private:
  // Orders are numbers that go up: odd ones say watch, even ones rest.
  static bool SaysWatch(uint32_t order) { return (order & 1) != 0; }
  bool resting() const;
  void Give(uint32_t order);
  bool StartThread();
  void Run();
  void SleepOnWords(uint32_t order);

  std::atomic<uint32_t>& bell_;
  const uint32_t ring_;
  const bool many_;
  const uint64_t generation_ = ForkGeneration();
  bool started_ = false;
  pthread_t thread_ = {};

  std::vector<FutexWord> words_;  // the thread's from an order to watch until that is finished
  std::atomic<uint32_t> order_ = 0;
  std::atomic<uint32_t> finished_ = 0;
  std::atomic<bool> ends_ = false;
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_OS_FUTEX_WATCHER_H_
