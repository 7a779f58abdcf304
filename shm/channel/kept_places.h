// The places that a new segment keeps for those who still read the segments before it.
//
// A lossless producer waits at each of them, from the segment's slot 0 on, until its heir has come, has died, or has taken
// longer than the channel allows (ChannelConfig::reservation_ttl).
//
// Thread safety: thread-compatible; belongs to the producer's thread.
// Ownership:     `segment` and `roster` must outlive it. It maps the old segments as long as an heir of theirs is awaited.
#ifndef PYLABHUB_SHM_CHANNEL_KEPT_PLACES_H_
#define PYLABHUB_SHM_CHANNEL_KEPT_PLACES_H_

#include <vector>

#include "absl/status/status.h"
#include "shm/channel/segment.h"
#include "shm/channel/succession.h"
#include "shm/channel/wait.h"
#include "shm/channel_config.h"
#include "shm/ring/consumer_roster.h"

namespace pylabhub::shm {

// Who keeps its place keeps its number.
//
// Errors: kResourceExhausted, if the channel, which has so many places, has none of that number any more.
absl::Status CheckRoomForHeirs(const ChannelConfig& config, uint32_t places, const Succession& succession);

class KeptPlaces {
 public:
  // Before the segment is published, so that whoever finds it finds the places kept.
  KeptPlaces(const ChannelConfig& config, Succession succession, const CreatedSegment& segment,
             ConsumerRoster& roster);

  bool empty() const { return pending_.empty(); }

  // Settle, if there is somebody to settle for and a look is due.
  void SettleIfDue(uint64_t next_sequence) {
    if (!pending_.empty() && look_.Due()) Settle(next_sequence);
  }

  // The old segments, which may still have heirs; nobody is waited for here any more.
  Succession TakeSuccession();

  // Gives up the places whose heirs have come, have died, or are too late. True if there was one.
  bool Settle(uint64_t next_sequence);

 private:
  bool WaitsFor(const Succession::Heir& heir) const;
  bool HasCome(const Succession::Heir& heir) const;
  bool ConsumerLives(uint32_t place) const;

  const bool lossless_;
  const bool waits_for_groups_;
  const CreatedSegment& segment_;
  ConsumerRoster& roster_;
  Succession succession_;
  std::vector<Succession::Heir> pending_;
  const Wait::Clock::time_point deadline_;
  LivenessTimer look_;
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_CHANNEL_KEPT_PLACES_H_
