// One end of a channel in a process of its own, for process_test.cc, which says what it does next:
//
//   channel_peer producer|consumer DIRECTORY CHANNEL [ADDRESS CERTIFICATES]
//
// It prints "ready" once it has its end (or why not), then answers each line of its input with one line. At the end of its
// input it leaves the channel in good order.
#include <cstdlib>
#include <iostream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>

#include "absl/time/time.h"
#include "client/channel.h"
#include "client/messenger.h"
#include "tests/support/stamped_slots.h"

namespace pylabhub {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(20);
constexpr uint64_t kSlotBytes = 4096;
constexpr uint32_t kCapacitySlots = 16;

void Answer(const std::string& line) { std::cout << line << std::endl; }

std::string Result(const std::string& what, const absl::Status& status) {
  return status.ok() ? what : status.ToString();
}

// Runs `command` on what `input` still holds, for each line, until the input ends.
template <typename Command>
void Obey(const Command& command) {
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string verb;
    uint64_t count = 0;
    words >> verb >> count;
    command(verb, count);
  }
}

void RunProducer(ChannelProducer end) {
  std::optional<shm::WriteSlot> held;
  Obey([&](const std::string& verb, uint64_t count) {
    if (verb == "write") {
      shm::SlotResult result = shm::SlotResult::kOk;
      for (uint64_t i = 0; i < count && result == shm::SlotResult::kOk; ++i) {
        result = testing::PutStamped(*end.block, kPatience);
      }
      Answer("wrote " + std::to_string(end.block->next_sequence()) + " " + std::string(NameOf(result)));
    } else if (verb == "begin") {
      // A write that is never finished: half of the slot says what no reader may ever see.
      held.emplace(end.block->Acquire(kPatience));
      testing::Stamp(held->payload().first(held->payload().size() / 2), ~uint64_t{0});
      Answer("begun");
    }
  });
}

void RunConsumer(ChannelConsumer end) {
  std::optional<shm::ReadSlot> held;
  Obey([&](const std::string& verb, uint64_t count) {
    if (verb == "read") {
      uint64_t good = 0;
      for (uint64_t i = 0; i < count; ++i) {
        const shm::ReadSlot slot = end.block->Acquire(kPatience);
        if (!slot) break;
        good += testing::IsStamped(slot.payload(), slot.sequence()) && slot.missed_slots() == 0 ? 1 : 0;
      }
      Answer("read " + std::to_string(good));
    } else if (verb == "drain") {
      const testing::Received received = testing::ReadStamped(*end.block, kPatience);
      Answer("drained " + std::to_string(received.slots) + " missed " + std::to_string(received.missed) +
             " wrong " + std::to_string(received.wrong) + " " + std::string(NameOf(received.end)));
    } else if (verb == "hold") {
      held.emplace(end.block->Acquire(kPatience));
      Answer(*held ? "holding" : "nothing to hold");
    } else if (verb == "follow") {
      Answer(Result("followed", Follow(end, kPatience)));
    }
  });
}

int Main(int argc, char** argv) {
  const std::string role = argv[1];
  const std::string directory = argv[2];
  const std::string channel = argv[3];
  std::unique_ptr<Messenger> messenger;
  if (argc == 6) {
    auto connected = Messenger::Connect({.address = argv[4], .certificates_folder = argv[5]});
    if (!connected.ok()) return Answer(connected.status().ToString()), EXIT_FAILURE;
    messenger = *std::move(connected);
  }
  if (role == "producer") {
    auto end = CreateChannel({.channel = channel,
                              .policy = shm::Policy::kSyncReader,
                              .capacity_slots = kCapacitySlots,
                              .slot_bytes = kSlotBytes,
                              .max_consumers = 4,
                              .directory = directory},
                             messenger.get());
    Answer(Result("ready", end.status()));
    if (!end.ok()) return EXIT_FAILURE;
    RunProducer(*std::move(end));
  } else {
    shm::ConsumerOptions options;
    options.directory = directory;
    auto end = ConnectChannel(channel, kPatience, messenger.get(), options);
    Answer(Result("ready", end.status()));
    if (!end.ok()) return EXIT_FAILURE;
    RunConsumer(*std::move(end));
  }
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace pylabhub

int main(int argc, char** argv) {
  if (argc != 4 && argc != 6) return EXIT_FAILURE;
  return pylabhub::Main(argc, argv);
}
