// One thread that waits on many channels, and on being called.
//
//   WaitSet set;
//   set.Add(*camera, {.priority = 10, .key = kCamera});
//   set.Add(*stage, {.key = kStage});
//   for (;;) {
//     const WaitResult next = set.Wait(absl::Seconds(1));
//     if (next.outcome != WaitOutcome::kReady) break;  // called by Wake, or nothing for a second
//     ReadSlot slot = next.consumer->Acquire(absl::ZeroDuration());
//     ...
//   }
//
// A member is ready as long as there is something for its owner to do:
//   - its Acquire gives a slot or tells of one, or says that this consumer was cut off (and it holds no slot now);
//   - or its producer is gone and everything was read, which the next Acquire says;
//   - or, once Acquire has said so, the channel has a next producer, which no Follow has tried yet. In between it is not
//     ready: a consumer whose channel has ended may stay in the set, and comes back by itself. (Not one of a segment
//     that was handed over: the next one is handed over too.)
// So whoever is told and does nothing about it is told again at once; who cannot go on is Removed.
// On an overwriting channel, or if others share the work, the slot may be gone by the time of the Acquire: kTimeout then
// means no more than that.
//
// Of several members that are ready the one of the highest priority is told. Those of equal priority are told in turn, so
// that a busy one starves none of them. A busy one starves those of lower priority, as it should.
//
// Waiting is as in Acquire: it looks at all members for WaitOptions::spin, then sleeps on all of them at once
// (futex_waitv), and looks every 10 ms whether their producers live. futex_waitv takes 127 members; one thread for each 127
// beyond them sleeps in the set's place. Where the kernel or a sandbox refuses futex_waitv (before Linux 5.16, and under
// many containers' seccomp profiles) there is such a thread for each member. They are started when the set first
// sleeps so, and end with it; a wake goes through them, and takes two hops instead of one. If the system has no
// threads to give, members without one are looked at every millisecond.
//
// Thread safety: a set and its members belong to one thread at a time. Wake may be called by any thread, and by a signal
//                handler.
// Time:          a look costs one cache line for each member of higher or equal priority; a sleep, for each member, two
//                stores, a fence and its share of a system call.
// Ownership:     members belong to the caller. One that is destroyed leaves the set; a set that is destroyed lets its
//                members go. Nobody may be in Wake any more when the set is destroyed.
// Fork:          a child of fork() has no set: its copy answers kForked and touches nothing.
#ifndef PYLABHUB_SHM_WAIT_SET_H_
#define PYLABHUB_SHM_WAIT_SET_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "shm/channel_config.h"
#include "shm/data_block_consumer.h"

namespace pylabhub::shm {

enum class WaitOutcome : uint8_t {
  kReady = 0,
  kWoken,    // Wake was called since the last Wait that said so; before any member, however busy
  kTimeout,  // nothing happened before the deadline
  kForked,   // the set belongs to the parent of this process
};

struct WaitResult {
  WaitOutcome outcome = WaitOutcome::kTimeout;
  // kReady: the member, and the key that it was added with.
  DataBlockConsumer* consumer = nullptr;
  uint64_t key = 0;
};

struct MemberOptions {
  int32_t priority = 0;  // the highest comes first
  uint64_t key = 0;      // the caller's own; the set makes nothing of it
};

class WaitSet {
 public:
  // Members' own WaitOptions do not matter here.
  explicit WaitSet(const WaitOptions& wait = {});
  ~WaitSet();
  WaitSet(const WaitSet&) = delete;
  WaitSet& operator=(const WaitSet&) = delete;

  // Errors:
  //   kAlreadyExists       the consumer is in this set, or in another
  //   kFailedPrecondition  the set or the consumer belongs to the parent of this process
  absl::Status Add(DataBlockConsumer& consumer, const MemberOptions& options = {});
  // kNotFound if it is not a member.
  absl::Status Remove(DataBlockConsumer& consumer);
  size_t size() const;

  // Waits at most `timeout` for a member to be ready, or for a Wake. Nothing is taken: a member that is told and left
  // alone is ready the next time too. With no members it waits for a Wake.
  WaitResult Wait(absl::Duration timeout);

  // Makes Wait return kWoken: the one that is under way, or else the next. Calls that no Wait comes between count as one.
  // What was written before Wake is seen after the Wait that says kWoken.
  void Wake();

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_WAIT_SET_H_
