// The channels and their consumers, and the only place where they change: each change gets a revision and is
// remembered as an event, and as what is to be kept of it, until somebody takes them. Who may change what is
// ChannelRegistry's to decide.
//
//               Grant                MakeReady              Close
//   (no record) -----> kPending ----------------> kReady ----------> kClosing -----> (no record)
//                         |                                             |   when its consumers have left,
//                         +--------------- Close ---------------------->+   or at forget_time
//   Grant also takes a record in any state to kPending, with a new epoch; its consumers stay.
//
// Thread safety: thread-compatible.
// Time:          `now` never decreases from one call to the next.
// Ownership:     a Record& stays good until its channel is forgotten.
#ifndef PYLABHUB_BROKER_CHANNEL_TABLE_H_
#define PYLABHUB_BROKER_CHANNEL_TABLE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "broker/channel_types.h"
#include "broker/registry_state.h"

namespace pylabhub::broker {

// Tells consumers of one channel apart.
struct ConsumerKey {
  std::string session_id;
  std::string consumer_id;

  auto operator<=>(const ConsumerKey&) const = default;
};

class ChannelTable {
 public:
  struct Record {
    std::shared_ptr<const ChannelSpec> spec;
    ChannelState state = ChannelState::kPending;
    uint64_t epoch = 0;
    uint64_t revision = 0;
    std::string session_id;         // the producer's; empty when closing
    std::string producer_identity;  // also of the one that held it last, when closing
    absl::Time register_time;
    CloseReason close_reason = CloseReason::kNone;
    absl::Time forget_time = absl::InfiniteFuture();
    std::string predecessor_segment_id;
    std::map<ConsumerKey, ConsumerView> consumers;
  };

  // The first epoch granted is `first_epoch`, the first change has revision `first_revision`. A closing
  // channel with consumers is kept for `closing_ttl`.
  ChannelTable(uint64_t first_epoch, uint64_t first_revision, absl::Duration closing_ttl)
      : next_epoch_(first_epoch), revision_(first_revision - 1), closing_ttl_(closing_ttl) {}

  // Null if there is none.
  Record* Find(absl::string_view name);

  // By name.
  const std::map<std::string, Record, std::less<>>& records() const { return records_; }

  // Registers the channel, new or anew, for the caller's session.
  Record& Grant(ChannelSpec spec, const Caller& caller, absl::Time now);

  // Of a pending channel.
  void MakeReady(Record& record, absl::Time now);

  // Of a pending or ready channel.
  void Close(Record& record, CloseReason reason, absl::Time now);

  // Of a consumer that is not there yet.
  void Join(Record& record, ConsumerKey key, ConsumerView consumer, absl::Time now);

  // Of a consumer that is there.
  void Leave(Record& record, const ConsumerKey& key, LeaveReason reason, absl::Time now);

  // A closing channel that is to be forgotten: nobody consumes it (and its producer need not be told), or its time has
  // come. Null if there is
  // none.
  Record* FindForgettable(absl::Time now);

  // Forgets a closing channel that has no consumers.
  void Remove(Record& record, absl::Time now);

  // When FindForgettable has an answer next; InfiniteFuture if nothing is closing.
  absl::Time NextForget() const;

  // Puts back a channel that is not there, and a consumer of a channel that is. No change: it has no revision of its
  // own, and counts as changed last before `first_revision`. What is closing is kept for another `closing_ttl`.
  Record& Restore(ChannelRecord kept, absl::Time now);
  void RestoreConsumer(Record& record, ConsumerRecord kept);

  // What a record looks like from outside, but for the lease's end.
  static ChannelView ViewOf(const Record& record);

  // The changes since the last call, in the order of their revisions.
  std::vector<Event> TakeEvents();
  std::vector<Change> TakeChanges();

  // Of the last change.
  uint64_t revision() const { return revision_; }
  // Of the last grant, or what came before the first.
  uint64_t last_epoch() const { return next_epoch_ - 1; }

 private:
  void Emit(EventKind kind, Record& record, absl::Time now, const ConsumerView* consumer = nullptr);
  void Keep(const Record& record);
  void SetForgetTime(Record& record, absl::Time time);

  uint64_t next_epoch_;
  uint64_t revision_;
  const absl::Duration closing_ttl_;
  std::map<std::string, Record, std::less<>> records_;
  // The same, for lookups: a name is found in two steps and not in some fifteen. The keys are those of `records_`.
  absl::flat_hash_map<absl::string_view, Record*> by_name_;
  // Closing channels by forget_time.
  std::set<std::pair<absl::Time, std::string>> by_forget_time_;
  std::vector<Event> events_;
  std::vector<Change> changes_;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_CHANNEL_TABLE_H_
