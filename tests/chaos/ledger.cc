#include "tests/chaos/ledger.h"

#include <ctime>

namespace pylabhub::chaos {

uint64_t CountNeverDelivered(Ledger& ledger, uint32_t generation) {
  uint64_t count = 0;
  for (uint64_t sequence = 0; sequence < ledger.of_generation(generation).confirmed.load(); ++sequence)
    count += ledger.group.of(generation, sequence).load() == 0 ? 1 : 0;
  return count;
}

void Ledger::BeginGroupGeneration(uint32_t generation) {
  if (generation <= GroupBook::kGenerations) return;
  never_delivered.add(CountNeverDelivered(*this, generation - GroupBook::kGenerations));
  for (Cell<uint32_t>& holder : group.holder[generation % GroupBook::kGenerations]) holder.store(0);
}

int64_t NowNanos() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace pylabhub::chaos
