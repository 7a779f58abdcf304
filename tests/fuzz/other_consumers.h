// What becomes of a producer's consumers while it looks at them: the kernel's word about them, what it gives up, and places that
// it keeps.
//
// Thread safety: thread-compatible.
#ifndef PYLABHUB_TESTS_FUZZ_OTHER_CONSUMERS_H_
#define PYLABHUB_TESTS_FUZZ_OTHER_CONSUMERS_H_

#include <cstdint>
#include <set>

#include "shm/ring/consumer_roster.h"
#include "shm/ring/ring_writer.h"
#include "tests/fuzz/input.h"

namespace pylabhub::fuzz {

// Steps of LookAtConsumer, but for kOther, which is each fuzzer's own. In inputs they are these numbers.
inline constexpr int kDies = 0;
inline constexpr int kLives = 1;
inline constexpr int kBlockersAreEvicted = 2;
inline constexpr int kAllDeadAreEvicted = 3;
inline constexpr int kOther = 4;
inline constexpr int kIsGivenUp = 5;
inline constexpr int kIsReserved = 6;

// Of the consumer at `place`. One that is spared neither dies, nor is it given up.
void LookAtConsumer(int step, uint32_t place, bool is_spared, std::set<uint32_t>& dead,
                    shm::ConsumerRoster& roster, shm::RingWriter& writer, Input& input);

}  // namespace pylabhub::fuzz

#endif  // PYLABHUB_TESTS_FUZZ_OTHER_CONSUMERS_H_
