#include "tests/chaos/ledger.h"

#include <ctime>

namespace pylabhub::chaos {

int64_t NowNanos() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace pylabhub::chaos
