// What one session holds at its broker, what it has lost there, and when to register that again.
//
//             Hold          Apply: unknown to the broker          DueForRestore
//   (nothing) ----> held ------------------------------------> lost --------------> restoring
//                    ^                                          ^                     |   |
//                    |                                          '--- RestoreFailed ---'   |
//                    '------------------------ Restored ----------------------------------'
//   Drop, and a loss for good (fenced, closed, refused), lead from everywhere to (nothing).
//
// A table does no I/O, takes no lock and reads no clock. Calls to the broker take time, and the table may
// change meanwhile: each answer comes with the generation of what was asked, and an answer about an entry
// that changed since is dropped.
//
// Thread safety: thread-compatible; LeaseKeeper serialises its calls.
// Time:          `now` is any clock that never goes back.
// Ownership:     keeps copies.
#ifndef PYLABHUB_CLIENT_LEASE_TABLE_H_
#define PYLABHUB_CLIENT_LEASE_TABLE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/backoff.h"
#include "client/broker_types.h"
#include "client/messenger_event.h"

namespace pylabhub {

class LeaseTable {
 public:
  struct ClaimsAsOf {
    Claims claims;
    uint64_t generation;
  };
  // Something to be registered again.
  struct Restoration {
    std::variant<ChannelSpec, ConsumerSpec> spec;
    uint64_t generation;
  };
  using Events = std::vector<MessengerEvent>;

  // Restorations are tried again after 50 ms at first, then ever more slowly, up to `retry_limit`.
  explicit LeaseTable(absl::Duration retry_limit = absl::Seconds(2)) : retry_limit_(retry_limit) {}

  // The broker granted it. Replaces an earlier entry for the same channel, or the same consumer.
  void Hold(const ChannelSpec& channel, uint64_t epoch);
  void Hold(const ConsumerSpec& consumer, uint64_t channel_epoch);

  // The channel goes on in another segment: registers that as soon as it may, in place of the one that is held. Nothing if
  // there is no such entry.
  void Supersede(const ChannelSpec& channel, absl::Time now);

  // The entry's epoch (0 while it is lost), or nothing if there is no such entry.
  std::optional<uint64_t> DropChannel(const std::string& name);
  bool DropConsumer(const ConsumerClaim& consumer);

  // Whether there is an entry for this channel as a producer's, held or lost.
  bool Keeps(const std::string& channel) const { return channels_.count(channel) > 0; }

  // What is held now: the next heartbeat's claims.
  ClaimsAsOf Held() const;
  // Everything, held or lost: what is to be given up at the end.
  Claims All() const;

  // A broker's answer to a heartbeat that claimed what Held() said at `generation`.
  void Apply(const HeartbeatReport& report, uint64_t generation, absl::Time now, Events& events);

  // When something is to be restored next; InfiniteFuture if nothing is.
  absl::Time NextRestoreTime() const;
  // What is to be restored by now. Each is then out until Restored or RestoreFailed says how it ended.
  std::vector<Restoration> DueForRestore(absl::Time now);
  // False if the entry was dropped or replaced since: then there is nothing to do.
  bool IsWanted(const Restoration& restoration);
  void Restored(const Restoration& restoration, uint64_t epoch, Events& events);
  void RestoreFailed(const Restoration& restoration, const absl::Status& status, absl::Time now,
                     Events& events);

  // The channels that consumers hold, and what the broker says of one of them: how a closing is noticed.
  std::vector<std::string> ConsumedChannels() const;
  void Saw(const std::string& channel, const absl::StatusOr<Channel>& found, Events& events);
  void SawReady(const std::string& channel, uint64_t epoch, Events& events);
  void SawClosing(const std::string& channel, CloseReason why, Events& events);

 private:
  template <typename Spec>
  struct Entry {
    Spec spec;
    uint64_t epoch = 0;
    uint64_t generation = 0;
    bool held = true;
    absl::Time restore_time = absl::InfiniteFuture();
    Backoff backoff;
    bool channel_present = true;  // consumers only: whether the broker knew the channel when last asked
  };
  using ChannelEntry = Entry<ChannelSpec>;
  using ConsumerEntry = Entry<ConsumerSpec>;
  using ConsumerKey = std::pair<std::string, std::string>;

  Backoff NewBackoff() const { return Backoff(absl::Milliseconds(50), retry_limit_); }
  ChannelEntry* Find(const ChannelSpec& spec, uint64_t generation);
  ConsumerEntry* Find(const ConsumerSpec& spec, uint64_t generation);
  void Erase(const ChannelSpec& spec) { channels_.erase(spec.name); }
  void Erase(const ConsumerSpec& spec) { consumers_.erase({spec.channel, spec.consumer_id}); }
  void LoseAllHeld(uint64_t generation, absl::Time now);
  void LoseChannel(const LostChannel& lost, uint64_t generation, absl::Time now, Events& events);

  const absl::Duration retry_limit_;
  // Counts changes; an entry carries the count of its own last one.
  uint64_t generation_ = 0;
  std::map<std::string, ChannelEntry> channels_;
  std::map<ConsumerKey, ConsumerEntry> consumers_;
};

}  // namespace pylabhub

#endif  // PYLABHUB_CLIENT_LEASE_TABLE_H_
