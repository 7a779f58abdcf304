#include "tests/fuzz/other_consumers.h"

namespace pylabhub::fuzz {

void LookAtConsumer(int step, uint32_t place, bool is_spared, std::set<uint32_t>& dead,
                    shm::ConsumerRoster& roster, shm::RingWriter& writer, Input& input) {
  switch (step) {
    case kDies:
      if (!is_spared) dead.insert(place);
      return;
    case kLives:
      dead.erase(place);
      return;
    case kBlockersAreEvicted:
      writer.FindSlowest();
      writer.EvictDeadBlockers();
      return;
    case kAllDeadAreEvicted:
      roster.EvictAllDead();
      return;
    case kIsGivenUp:
      if (is_spared) return;
      return writer.GiveUpOn(place,
                             input.Byte() % 2 == 0 ? shm::WhenSlow::kDropBacklog : shm::WhenSlow::kCutOff);
    case kIsReserved:
      if (is_spared) return;
      if (roster.IsReserved(place)) return roster.ReleaseReservation(place);
      return roster.Reserve(place, 1 + input.Byte());
    default:
      return;
  }
}

}  // namespace pylabhub::fuzz
