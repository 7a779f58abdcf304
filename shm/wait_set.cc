#include "shm/wait_set.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <functional>
#include <span>
#include <vector>

#include "absl/strings/str_cat.h"
#include "shm/channel/wait.h"
#include "shm/channel/waitable.h"
#include "shm/os/fork_guard.h"
#include "shm/os/futex.h"
#include "shm/os/futex_watcher.h"

namespace pylabhub::shm {
namespace {

// Bits of the set's own word, which is 0 while there is nothing to wake up for.
constexpr uint32_t kWoken = 1;  // Wake was called
constexpr uint32_t kRung = 2;   // a watcher saw a member's word change
// How long to sleep if a member's word is watched by nobody.
constexpr std::chrono::milliseconds kUnwatchedSleep{1};

}  // namespace

class WaitSet::State final : private Waitable::Waiter {
 public:
  explicit State(const WaitOptions& wait) : options_(wait) {}
  ~State() {
    ForEach([](const Member& member) { member.waitable->set_waiter(nullptr); });
  }

  absl::Status Add(DataBlockConsumer& consumer, Waitable* waitable, const MemberOptions& options);
  bool Remove(const Waitable& waitable);
  size_t size() const { return size_; }
  WaitResult Wait(absl::Duration timeout);
  void Wake();

 private:
  struct Member {
    Waitable* waitable;
    DataBlockConsumer* consumer;
    uint64_t key;
    FutexWord word = {};  // what it slept on last
  };
  // Members of equal priority.
  struct Rank {
    int32_t priority;
    std::vector<Member> members;
    size_t next = 0;  // whose turn it is
  };

  template <typename Function>
  void ForEach(Function function) {
    for (Rank& rank : ranks_) std::for_each(rank.members.begin(), rank.members.end(), std::ref(function));
  }

  // Waitable::Waiter.
  void LetGo(Waitable& waitable) override;
  void Forget(Waitable& waitable) override { Remove(waitable); }

  bool called() const { return (calls_.load(std::memory_order_relaxed) & kWoken) != 0; }
  bool AnyReady() const;
  bool Take(WaitResult* result);
  bool TakeFrom(Rank& rank, WaitResult* result);
  void LookAtPeers(shm::Wait::Clock::duration liveness_interval);
  void Sleep(const shm::Wait& wait);
  bool SleepOnWords(absl::Duration time);
  bool SendOutWatchers(std::span<const FutexWord> words);

  WaitOptions options_;
  uint64_t generation_ = ForkGeneration();
  std::vector<Rank> ranks_;  // the highest priority first
  size_t size_ = 0;
  LivenessTimer liveness_;

  std::atomic<uint32_t> calls_ = 0;
  std::vector<FutexWord> words_;  // calls_, then one for each member
  bool together_ = true;          // until the kernel refuses to let one thread sleep on all of them
  std::vector<std::unique_ptr<FutexWatcher>> watchers_;
};

absl::Status WaitSet::State::Add(DataBlockConsumer& consumer, Waitable* waitable,
                                 const MemberOptions& options) {
  if (waitable == nullptr || generation_ != ForkGeneration())
    return absl::FailedPreconditionError("the set or the consumer belongs to the parent of this process");
  if (waitable->waiter() != nullptr) {
    return absl::AlreadyExistsError(absl::StrCat("the consumer of channel '", consumer.config().channel,
                                                 "' is in ", waitable->waiter() == this ? "this" : "another",
                                                 " WaitSet; Remove it there first"));
  }
  const auto at = std::find_if(ranks_.begin(), ranks_.end(),
                               [&](const Rank& rank) { return rank.priority <= options.priority; });
  const bool there = at != ranks_.end() && at->priority == options.priority;
  Rank& rank = there ? *at : *ranks_.insert(at, Rank{.priority = options.priority, .members = {}});
  rank.members.push_back({.waitable = waitable, .consumer = &consumer, .key = options.key});
  waitable->set_waiter(this);
  ++size_;
  return absl::OkStatus();
}

bool WaitSet::State::Remove(const Waitable& waitable) {
  for (Rank& rank : ranks_) {
    const auto at = std::find_if(rank.members.begin(), rank.members.end(),
                                 [&](const Member& member) { return member.waitable == &waitable; });
    if (at == rank.members.end()) continue;
    LetGo(*at->waitable);
    at->waitable->set_waiter(nullptr);
    // Whose turn it is stays so.
    if (static_cast<size_t>(at - rank.members.begin()) < rank.next) --rank.next;
    rank.members.erase(at);
    --size_;
    std::erase_if(ranks_, [](const Rank& r) { return r.members.empty(); });
    return true;
  }
  return false;
}

void WaitSet::State::LetGo(Waitable& waitable) {
  ForEach([&](const Member& member) {
    if (member.waitable != &waitable) return;
    for (const auto& watcher : watchers_) {
      if (watcher->IsAsleepOn(member.word.word)) watcher->Rest();
    }
  });
}

void WaitSet::State::Wake() {
  // A signal handler's caller finds errno as it was.
  const int error = errno;
  // Release: what was written before this call is seen by who finds the bit.
  calls_.fetch_or(kWoken, std::memory_order_release);
  FutexWakeAll(reinterpret_cast<const uint32_t*>(&calls_));
  errno = error;
}

bool WaitSet::State::AnyReady() const {
  return called() || std::any_of(ranks_.begin(), ranks_.end(), [](const Rank& rank) {
           return std::any_of(rank.members.begin(), rank.members.end(),
                              [](const Member& member) { return member.waitable->IsReady(); });
         });
}

bool WaitSet::State::Take(WaitResult* result) {
  if (called()) [[unlikely]] {
    // Acquire: pairs with the release in Wake.
    calls_.fetch_and(~kWoken, std::memory_order_acquire);
    *result = {.outcome = WaitOutcome::kWoken};
    return true;
  }
  return std::any_of(ranks_.begin(), ranks_.end(), [&](Rank& rank) { return TakeFrom(rank, result); });
}

bool WaitSet::State::TakeFrom(Rank& rank, WaitResult* result) {
  const size_t count = rank.members.size();
  size_t at = rank.next < count ? rank.next : 0;
  for (size_t looked = 0; looked < count; ++looked) {
    const Member& member = rank.members[at];
    if (++at == count) at = 0;
    if (!member.waitable->IsReady()) continue;
    rank.next = at;
    *result = {.outcome = WaitOutcome::kReady, .consumer = member.consumer, .key = member.key};
    return true;
  }
  return false;
}

void WaitSet::State::LookAtPeers(shm::Wait::Clock::duration liveness_interval) {
  if (!liveness_.Due(liveness_interval)) return;
  ForEach([](const Member& member) { member.waitable->LookAtPeer(); });
}

WaitResult WaitSet::State::Wait(absl::Duration timeout) {
  WaitResult result;
  if (generation_ != ForkGeneration()) [[unlikely]]
    return {.outcome = WaitOutcome::kForked};
  // Also where somebody is always ready: the others' producers may be gone.
  LookAtPeers(kLivenessInterval);
  if (Take(&result) || timeout <= absl::ZeroDuration()) return result;
  shm::Wait wait(options_, timeout);
  const auto looks_per_clock_read = static_cast<int>(
      shm::Wait::kLooksPerClockRead / std::clamp<size_t>(size_, 1, shm::Wait::kLooksPerClockRead));
  const auto found = [&] { return Take(&result); };
  bool slept = false;
  while (!wait.Spin(found, looks_per_clock_read)) {
    LookAtPeers(wait.liveness_interval());
    if (found() || wait.expired()) break;
    if (!wait.may_sleep()) continue;
    Sleep(wait);
    slept = true;
  }
  if (slept) ForEach([](const Member& member) { member.waitable->CountWait(); });
  return result;
}

void WaitSet::State::Sleep(const shm::Wait& wait) {
  // Acquire, edge R (futex_watcher.h): a watcher whose ring is cleared here is sent out again below.
  calls_.fetch_and(~kRung, std::memory_order_acquire);
  bool peers_know = true;
  words_.assign(1, {.word = reinterpret_cast<const uint32_t*>(&calls_), .expected = 0});
  ForEach([&](Member& member) {
    peers_know = member.waitable->PeerKnowsOfSleeps() && peers_know;
    words_.push_back(member.word = member.waitable->BeginSleep());
  });
  // Edge W (ring_reader.h): everybody's last look comes after everybody's BeginSleep.
  const bool slept = !AnyReady() && SleepOnWords(wait.SleepTime(!peers_know));
  ForEach([=](const Member& member) { member.waitable->EndSleep(slept); });
}

// False if there was no sleep after all.
bool WaitSet::State::SleepOnWords(absl::Duration time) {
  const std::span<const FutexWord> words = words_;
  const size_t own = std::min(words.size(), together_ ? kMaxFutexWords : 1);
  if (!SendOutWatchers(words.subspan(own))) time = std::min(time, absl::FromChrono(kUnwatchedSleep));
  const FutexAny result = FutexWaitAny(words.first(own), time);
  if (result == FutexAny::kRefused) {
    together_ = false;
    watchers_.clear();
  }
  return result == FutexAny::kSlept;
}

// Has every word watched by a thread of its own, or together with others. False if the system has not enough threads.
bool WaitSet::State::SendOutWatchers(std::span<const FutexWord> words) {
  const size_t words_per_watcher = together_ ? FutexWatcher::kMaxWords : 1;
  const size_t count = (words.size() + words_per_watcher - 1) / words_per_watcher;
  if (watchers_.size() > count) watchers_.resize(count);
  bool all = true;
  for (size_t i = 0; i < count; ++i) {
    if (i == watchers_.size()) {
      watchers_.push_back(std::make_unique<FutexWatcher>(
          calls_, kRung, together_ ? FutexWatcher::Words::kMany : FutexWatcher::Words::kOne));
    }
    const size_t first = i * words_per_watcher;
    all = watchers_[i]->Watch(words.subspan(first, std::min(words_per_watcher, words.size() - first))) && all;
  }
  return all;
}

WaitSet::WaitSet(const WaitOptions& wait) : state_(std::make_unique<State>(wait)) {}
WaitSet::~WaitSet() = default;

absl::Status WaitSet::Add(DataBlockConsumer& consumer, const MemberOptions& options) {
  return state_->Add(consumer, consumer.waitable(), options);
}

absl::Status WaitSet::Remove(DataBlockConsumer& consumer) {
  const Waitable* const waitable = consumer.waitable();
  if (waitable != nullptr && state_->Remove(*waitable)) return absl::OkStatus();
  return absl::NotFoundError(
      absl::StrCat("the consumer of channel '", consumer.config().channel, "' is not in this WaitSet"));
}

size_t WaitSet::size() const { return state_->size(); }
WaitResult WaitSet::Wait(absl::Duration timeout) { return state_->Wait(timeout); }
void WaitSet::Wake() { state_->Wake(); }

}  // namespace pylabhub::shm
