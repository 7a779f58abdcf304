#include "shm/os/futex_watcher.h"

#include <signal.h>

#include <algorithm>
#include <array>

namespace pylabhub::shm {
namespace {

// A thread that is about to sleep cannot be woken yet: who calls it tries again after this time.
constexpr absl::Duration kCallAgain = absl::Milliseconds(1);

const uint32_t* Plain(const std::atomic<uint32_t>& word) { return reinterpret_cast<const uint32_t*>(&word); }

bool SameWords(std::span<const FutexWord> a, std::span<const FutexWord> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const FutexWord& x, const FutexWord& y) { return x.word == y.word; });
}

}  // namespace

FutexWatcher::~FutexWatcher() {
  if (!started_ || generation_ != ForkGeneration()) return;
  Rest();
  ends_.store(true, std::memory_order_relaxed);
  Give(order_.load(std::memory_order_relaxed) + 2);
  pthread_join(thread_, nullptr);
}

// Acquire, edge R: the words are the owner's again.
bool FutexWatcher::resting() const {
  return finished_.load(std::memory_order_acquire) == order_.load(std::memory_order_relaxed);
}

void FutexWatcher::Give(uint32_t order) {
  // Release: the words, or the end, come with it.
  order_.store(order, std::memory_order_release);
  FutexWakeAll(Plain(order_));
}

bool FutexWatcher::Watch(std::span<const FutexWord> words) {
  if (!started_ && !StartThread()) return false;
  if (!resting()) {
    // The values that they were expected to have do not matter any more: a thread that sleeps is woken whatever they
    // are, and one that does not sleep yet finds them changed.
    if (SameWords(words_, words)) return true;
    Rest();
  }
  words_.assign(words.begin(), words.end());
  const uint32_t last = order_.load(std::memory_order_relaxed);
  Give(last + (SaysWatch(last) ? 2 : 1));
  return true;
}

void FutexWatcher::Rest() {
  if (generation_ != ForkGeneration() || resting()) return;
  const uint32_t order = order_.load(std::memory_order_relaxed) + 1;
  Give(order);
  for (;;) {
    const uint32_t finished = finished_.load(std::memory_order_acquire);
    if (finished == order) return;
    // Others who sleep on that word look again, as after any wake that is not for them.
    if (!many_) FutexWakeAll(words_[0].word);
    FutexWait(Plain(finished_), finished, kCallAgain);
  }
}

bool FutexWatcher::IsAsleepOn(const uint32_t* word) const {
  return !resting() && std::any_of(words_.begin(), words_.end(),
                                   [&](const FutexWord& watched) { return watched.word == word; });
}

bool FutexWatcher::StartThread() {
  // The application's signal handlers run on its own threads.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const auto run = [](void* watcher) -> void* {
    static_cast<FutexWatcher*>(watcher)->Run();
    return nullptr;
  };
  started_ = pthread_create(&thread_, nullptr, run, this) == 0;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return started_;
}

void FutexWatcher::Run() {
  for (uint32_t seen = 0;;) {
    const uint32_t order = order_.load(std::memory_order_acquire);
    if (order == seen) {
      FutexWait(Plain(order_), seen, absl::InfiniteDuration());
      continue;
    }
    seen = order;
    if (ends_.load(std::memory_order_relaxed)) return;
    if (SaysWatch(order)) SleepOnWords(order);
    // Release, edge R, and before the ring.
    finished_.store(order, std::memory_order_release);
    FutexWakeAll(Plain(finished_));
    // Another order has come meanwhile: the owner is awake.
    if (!SaysWatch(order) || order_.load(std::memory_order_relaxed) != order) continue;
    bell_.fetch_or(ring_, std::memory_order_release);
    FutexWakeAll(Plain(bell_));
  }
}

void FutexWatcher::SleepOnWords(uint32_t order) {
  if (!many_) {
    FutexWait(words_[0].word, words_[0].expected, absl::InfiniteDuration());
    return;
  }
  std::array<FutexWord, kMaxFutexWords> words;
  words[0] = {.word = Plain(order_), .expected = order};
  std::copy(words_.begin(), words_.end(), words.begin() + 1);
  FutexWaitAny(std::span(words).first(words_.size() + 1), absl::InfiniteDuration());
}

}  // namespace pylabhub::shm
