// Data segments that really were: created, written into and published as any other, for a fuzzer to spoil copies of.
#ifndef PYLABHUB_TESTS_FUZZ_SEGMENT_SAMPLES_H_
#define PYLABHUB_TESTS_FUZZ_SEGMENT_SAMPLES_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "shm/channel_config.h"
#include "tests/shm/segment_memory.h"

namespace pylabhub::fuzz {

// The channels that the fuzzers know: every policy; payloads beside their descriptors and in chunks; rings of one slot and
// of more; with and without a zone and checksums.
std::vector<shm::ChannelConfig> SampleConfigs();

// A segment of `config` in which `slots` have been committed, or as many as its ring takes before somebody reads.
shm::SegmentMemory WrittenSegment(const shm::ChannelConfig& config, uint64_t slots);

}  // namespace pylabhub::fuzz

#endif  // PYLABHUB_TESTS_FUZZ_SEGMENT_SAMPLES_H_
