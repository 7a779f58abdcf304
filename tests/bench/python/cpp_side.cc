// The C++ side of the Python bench, which does what python_bench.py does in Python, by the same names:
//
//   cpp_side pour CHANNEL SECONDS      copies a message into every slot until the time is up
//   cpp_side drink CHANNEL SECONDS     copies every slot out, and prints GB/s
//   cpp_side answer CHANNEL SPIN_US    writes each message back
//   cpp_side ask CHANNEL SECONDS SPIN_US   prints the median of round trips, in ns
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"

namespace pylabhub::bench {
namespace {

constexpr size_t kStreamBytes = size_t{64} << 10;
constexpr uint32_t kStreamCapacity = 16;
constexpr size_t kTripBytes = 64;
constexpr uint64_t kLast = ~uint64_t{0};
constexpr absl::Duration kPatience = absl::Seconds(20);
using Clock = std::chrono::steady_clock;

void Fail(const std::string& why) {
  std::cerr << "cpp_side: " << why << '\n';
  std::exit(EXIT_FAILURE);  // NOLINT(concurrency-mt-unsafe): one thread
}

// The n-th of the cores that this process may use.
void PinTo(int number) {
  cpu_set_t may_use;
  CPU_ZERO(&may_use);
  sched_getaffinity(0, sizeof(may_use), &may_use);
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (!CPU_ISSET(core, &may_use) || number-- > 0) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    sched_setaffinity(0, sizeof(one), &one);
    return;
  }
}

std::unique_ptr<shm::DataBlockProducer> Create(const std::string& channel, size_t slot_bytes,
                                               uint32_t capacity, absl::Duration spin) {
  auto producer = shm::DataBlockProducer::Create(
      {.channel = channel, .capacity_slots = capacity, .slot_bytes = slot_bytes, .min_consumers = 1},
      {.spin = spin});
  if (!producer.ok()) Fail(producer.status().ToString());
  return *std::move(producer);
}

std::unique_ptr<shm::DataBlockConsumer> Open(const std::string& channel, absl::Duration spin) {
  shm::ConsumerOptions options;
  options.open_timeout = kPatience;
  options.wait.spin = spin;
  auto consumer = shm::DataBlockConsumer::Open(channel, options);
  if (!consumer.ok()) Fail(consumer.status().ToString());
  return *std::move(consumer);
}

void Write(shm::DataBlockProducer& producer, std::span<const std::byte> message) {
  shm::WriteSlot slot = producer.Acquire(kPatience);
  if (!slot) Fail("no slot to write");
  std::memcpy(slot.payload().data(), message.data(), message.size());
  if (slot.Commit(message.size()) != shm::SlotResult::kOk) Fail("a slot was not committed");
}

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void Pour(const std::string& channel, double seconds) {
  auto producer = Create(channel, kStreamBytes, kStreamCapacity, absl::InfiniteDuration());
  std::vector<uint64_t> message(kStreamBytes / sizeof(uint64_t));
  Clock::time_point start;
  for (uint64_t sequence = 0; message[0] != kLast; ++sequence) {
    message[0] = sequence;
    if (sequence == 1) start = Clock::now();
    if (sequence > 1 && sequence % 64 == 0 && SecondsSince(start) >= seconds) message[0] = kLast;
    Write(*producer, std::as_bytes(std::span(message)));
  }
}

void Drink(const std::string& channel, double seconds) {
  auto consumer = Open(channel, absl::InfiniteDuration());
  std::vector<uint64_t> message(kStreamBytes / sizeof(uint64_t));
  Clock::time_point start;
  uint64_t counted_from = 0;
  for (uint64_t sequence = 0;; ++sequence) {
    shm::ReadSlot slot = consumer->Acquire(kPatience);
    if (!slot || slot.payload().size() != kStreamBytes) Fail("no slot to read");
    std::memcpy(message.data(), slot.payload().data(), kStreamBytes);
    if (sequence == 0) start = Clock::now();
    if (message[0] == kLast) {
      const double bytes = static_cast<double>(sequence - counted_from) * kStreamBytes;
      std::cout << bytes / SecondsSince(start) / 1e9 << '\n';
      return;
    }
    if (message[0] != sequence) Fail("another message than expected");
    if (counted_from == 0 && sequence % 64 == 0 && SecondsSince(start) >= seconds / 10) {
      counted_from = sequence;
      start = Clock::now();
    }
  }
}

void Answer(const std::string& channel, absl::Duration spin) {
  auto back = Create(channel + ".back", kTripBytes, 0, spin);
  auto there = Open(channel, spin);
  while (shm::ReadSlot slot = there->Acquire(kPatience)) Write(*back, slot.payload());
}

void Ask(const std::string& channel, double seconds, absl::Duration spin) {
  auto there = Create(channel, kTripBytes, 0, spin);
  auto back = Open(channel + ".back", spin);
  std::vector<uint64_t> message(kTripBytes / sizeof(uint64_t));
  std::vector<int64_t> trips;
  const Clock::time_point start = Clock::now();
  for (Clock::time_point before = start; SecondsSince(start) < seconds; ++message[0]) {
    Write(*there, std::as_bytes(std::span(message)));
    const shm::ReadSlot slot = back->Acquire(kPatience);
    if (!slot || std::memcmp(slot.payload().data(), message.data(), kTripBytes) != 0) Fail("no such answer");
    const Clock::time_point after = Clock::now();
    trips.push_back(std::chrono::nanoseconds(after - before).count());
    before = after;
  }
  trips.erase(trips.begin(), trips.begin() + static_cast<std::ptrdiff_t>(trips.size() / 10));
  std::nth_element(trips.begin(), trips.begin() + static_cast<std::ptrdiff_t>(trips.size() / 2), trips.end());
  std::cout << trips[trips.size() / 2] << '\n';
}

absl::Duration SpinFrom(const std::string& microseconds) {
  return microseconds == "always" ? absl::InfiniteDuration() : absl::Microseconds(std::stod(microseconds));
}

}  // namespace
}  // namespace pylabhub::bench

// NOLINTNEXTLINE(bugprone-exception-escape): a wrong command line, which is the bench's, may end the program
int main(int argc, char** argv) {
  using namespace pylabhub::bench;  // NOLINT(google-build-using-namespace): a program of one file
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() < 3) return EXIT_FAILURE;
  const std::string& role = words[0];
  PinTo(role == "drink" || role == "ask" ? 0 : 1);
  if (role == "pour") Pour(words[1], std::stod(words[2]));
  if (role == "drink") Drink(words[1], std::stod(words[2]));
  if (role == "answer") Answer(words[1], SpinFrom(words[2]));
  if (role == "ask") Ask(words[1], std::stod(words[2]), SpinFrom(words[3]));
  return EXIT_SUCCESS;
}
