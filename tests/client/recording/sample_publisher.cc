// Publishes samples as it is told on standard input, so that a test decides what happens when:
//
//   sample_publisher DIRECTORY CHANNEL POLICY CAPACITY_SLOTS RECORDS_PER_SLOT MIN_CONSUMERS [FIRST_SERIAL]
//
// Prints "ready"; then each line is a number of slots to publish, answered with the serial number of the next sample, or
// "die". At the end of input it closes the channel.
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "shm/data_block_producer.h"
#include "tests/client/recording/sample.h"

namespace pylabhub::testing {
namespace {

bool PublishSlot(shm::DataBlockProducer& producer, size_t records, uint64_t& serial) {
  shm::WriteSlot slot = producer.Acquire(absl::Seconds(60));
  if (!slot) return false;
  for (size_t i = 0; i < records; ++i) {
    const Sample sample = SampleOf(serial++);
    std::memcpy(slot.payload().data() + i * sizeof(Sample), &sample, sizeof(Sample));
  }
  return slot.Commit(records * sizeof(Sample)) == shm::SlotResult::kOk;
}

int Publish(const std::vector<std::string>& arguments) {
  const size_t records = std::stoul(arguments[4]);
  const auto producer =
      shm::DataBlockProducer::Create({.channel = arguments[1],
                                      .policy = shm::PolicyFromName(arguments[2]).value(),
                                      .capacity_slots = static_cast<uint32_t>(std::stoul(arguments[3])),
                                      .slot_bytes = records * sizeof(Sample),
                                      .schema = shm::SchemaOf<Sample>(),
                                      .min_consumers = static_cast<uint32_t>(std::stoul(arguments[5])),
                                      .directory = arguments[0]});
  if (!producer.ok()) return std::cerr << producer.status() << '\n', 1;
  uint64_t serial = arguments.size() > 6 ? std::stoul(arguments[6]) : 0;
  std::cout << "ready" << std::endl;
  std::string line;
  while (std::getline(std::cin, line)) {
    if (line == "die") std::raise(SIGKILL);
    for (size_t slots = std::stoul(line); slots > 0; --slots) {
      if (!PublishSlot(**producer, records, serial)) return 1;
    }
    std::cout << serial << std::endl;
  }
  return 0;
}

}  // namespace
}  // namespace pylabhub::testing

// NOLINTNEXTLINE(bugprone-exception-escape): a test's own program may end by an exception
int main(int argc, char** argv) { return pylabhub::testing::Publish({argv + 1, argv + argc}); }
