#include "client/cli/bench.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "client/channel.h"
#include "client/cli/bench_result.h"
#include "client/cli/exit_code.h"
#include "client/cli/interrupt.h"
#include "client/cli/print.h"
#include "client/cli/quantity.h"
#include "client/cli/terminal.h"

namespace pylabhub::cli {
namespace {

using shm::ReadSlot;
using shm::SlotResult;
using shm::WriteSlot;

// Only a bound on how long a peer that died is waited for.
constexpr absl::Duration kPatience = absl::Seconds(10);
constexpr uint64_t kRoundTripBytes = 64;
constexpr uint64_t kWarmUpRounds = 100;
// A ring of so many bytes at most, and of so many slots.
constexpr uint64_t kRingBytes = uint64_t{16} << 20;
constexpr uint64_t kMostSlots = 64;

constexpr char kHelp[] = R"(
Two processes of this machine and a named channel between them: how long a slot of 64 bytes takes there and back, and how much
streams one way, each byte written by the one and read by the other. What else runs on the machine shows in the figures.

Examples:
  pylabhub bench
  pylabhub bench --slot-bytes 4KiB --slot-bytes 1MiB --duration 5s
  pylabhub bench --output json > bench.jsonl
)";

struct BenchOptions {
  std::vector<uint64_t> slot_bytes = {64, 4096, 65536, 1 << 20};
  absl::Duration duration = absl::Seconds(1);
  Output output = Output::kText;
  std::string directory = "/dev/shm";
};

// A process of its own that does `work`, and ends with this one.
class Peer {
 public:
  static absl::StatusOr<Peer> Start(const std::function<absl::Status()>& work) {
    const pid_t parent = getpid();
    const pid_t pid = fork();
    if (pid < 0)
      return absl::UnavailableError(absl::StrCat("cannot start a second process: ", std::strerror(errno)));
    if (pid > 0) return Peer(pid);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(kFailed);
    // Not this program's way out: what it has begun is not the peer's to end.
    _exit(work().ok() ? kDone : kFailed);
  }

  Peer(Peer&& other) noexcept : pid_(std::exchange(other.pid_, 0)) {}
  Peer& operator=(Peer&&) = delete;
  ~Peer() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

  // Waits for its end.
  absl::Status Finish() {
    int status = 0;
    const pid_t ended = waitpid(std::exchange(pid_, 0), &status, 0);
    if (ended > 0 && WIFEXITED(status) && WEXITSTATUS(status) == kDone) return absl::OkStatus();
    return absl::UnavailableError("the second process of the measurement failed");
  }

 private:
  explicit Peer(pid_t pid) : pid_(pid) {}

  pid_t pid_;
};

shm::ChannelConfig ConfigOf(const std::string& channel, uint64_t slot_bytes, const BenchOptions& options) {
  shm::ChannelConfig config;
  config.channel = channel;
  config.policy = shm::Policy::kSingleReader;
  config.slot_bytes = slot_bytes;
  config.capacity_slots = static_cast<uint32_t>(std::clamp<uint64_t>(kRingBytes / slot_bytes, 2, kMostSlots));
  config.min_consumers = 1;
  config.directory = options.directory;
  return config;
}

absl::StatusOr<ChannelConsumer> Consume(const std::string& channel, const BenchOptions& options) {
  shm::ConsumerOptions consumer;
  consumer.directory = options.directory;
  return ConnectChannel(channel, kPatience, nullptr, consumer);
}

absl::Status Failed(const char* what, SlotResult result) {
  if (Interrupted()) return absl::CancelledError("interrupted");
  return absl::UnavailableError(absl::StrCat(what, " failed: ", shm::NameOf(result)));
}

absl::Status Send(shm::DataBlockProducer& producer, uint64_t slot_bytes, uint8_t value) {
  WriteSlot slot = producer.Acquire(kPatience);
  if (!slot) return Failed("writing", slot.result());
  std::memset(slot.payload().data(), value, slot_bytes);
  const SlotResult result = slot.Commit(slot_bytes);
  return result == SlotResult::kOk ? absl::OkStatus() : Failed("committing", result);
}

// A word with 1 in every byte.
constexpr uint64_t kOnes = 0x0101010101010101;

// Every byte is looked at: the sum of its words.
uint64_t SumOf(std::span<const std::byte> payload) {
  uint64_t sum = 0;
  for (; payload.size() >= sizeof(sum); payload = payload.subspan(sizeof(sum))) {
    uint64_t word = 0;
    std::memcpy(&word, payload.data(), sizeof(word));
    sum += word;
  }
  return sum;
}

// Sends back what comes on `there`, until that is closed.
absl::Status Echo(const std::string& there, const std::string& back, const BenchOptions& options) {
  absl::StatusOr<ChannelProducer> producer = CreateChannel(ConfigOf(back, kRoundTripBytes, options));
  if (!producer.ok()) return producer.status();
  const absl::StatusOr<ChannelConsumer> consumer = Consume(there, options);
  if (!consumer.ok()) return consumer.status();
  while (true) {
    ReadSlot slot = consumer->block->Acquire(kPatience);
    if (slot.result() == SlotResult::kProducerClosed) return absl::OkStatus();
    if (!slot) return Failed("reading", slot.result());
    if (absl::Status status = Send(*producer->block, kRoundTripBytes, 1); !status.ok()) return status;
  }
}

absl::StatusOr<RoundTrips> MeasureRoundTrips(const std::string& name, const BenchOptions& options) {
  const std::string there = absl::StrCat(name, ".there");
  const std::string back = absl::StrCat(name, ".back");
  absl::StatusOr<Peer> peer = Peer::Start([&] { return Echo(there, back, options); });
  if (!peer.ok()) return peer.status();
  std::vector<absl::Duration> times;
  {
    absl::StatusOr<ChannelProducer> producer = CreateChannel(ConfigOf(there, kRoundTripBytes, options));
    if (!producer.ok()) return producer.status();
    const absl::StatusOr<ChannelConsumer> consumer = Consume(back, options);
    if (!consumer.ok()) return consumer.status();
    absl::Duration end = absl::InfiniteDuration();
    for (uint64_t round = 0; MonotonicClock() < end && !Interrupted(); ++round) {
      if (round == kWarmUpRounds) end = MonotonicClock() + options.duration;
      const absl::Duration begin = MonotonicClock();
      if (absl::Status status = Send(*producer->block, kRoundTripBytes, 1); !status.ok()) return status;
      const ReadSlot slot = consumer->block->Acquire(kPatience);
      if (!slot) return Failed("reading", slot.result());
      if (round >= kWarmUpRounds) times.push_back(MonotonicClock() - begin);
    }
  }
  if (absl::Status status = peer->Finish(); !status.ok()) return status;
  return Summarize(kRoundTripBytes, std::move(times));
}

absl::Status Stream(const std::string& channel, uint64_t slot_bytes, const BenchOptions& options) {
  absl::StatusOr<ChannelProducer> producer = CreateChannel(ConfigOf(channel, slot_bytes, options));
  if (!producer.ok()) return producer.status();
  // The first waits until somebody reads, and belongs to no measurement.
  if (absl::Status status = Send(*producer->block, slot_bytes, 0); !status.ok()) return status;
  const absl::Duration end = MonotonicClock() + options.duration;
  for (uint8_t value = 0; MonotonicClock() < end && !Interrupted(); ++value) {
    if (absl::Status status = Send(*producer->block, slot_bytes, value); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<Streaming> MeasureStreaming(const std::string& name, uint64_t slot_bytes,
                                           const BenchOptions& options) {
  const std::string channel = absl::StrCat(name, ".", slot_bytes);
  absl::StatusOr<Peer> peer = Peer::Start([&] { return Stream(channel, slot_bytes, options); });
  if (!peer.ok()) return peer.status();
  const absl::StatusOr<ChannelConsumer> consumer = Consume(channel, options);
  if (!consumer.ok()) return consumer.status();
  Streaming stream{.slot_bytes = slot_bytes};
  absl::Duration begin;
  for (bool first = true;; first = false) {
    ReadSlot slot = consumer->block->Acquire(kPatience);
    if (slot.result() == SlotResult::kProducerClosed) break;
    if (!slot) return Failed("reading", slot.result());
    // The first is no part of the measurement.
    const auto value = static_cast<uint8_t>(first ? 0 : stream.slots);
    if (SumOf(slot.payload()) != value * kOnes * (slot_bytes / sizeof(uint64_t))) {
      return absl::DataLossError("what was read is not what was written; this is no machine to trust");
    }
    if (first) {
      begin = MonotonicClock();
      continue;
    }
    ++stream.slots;
    stream.duration = MonotonicClock() - begin;
  }
  if (absl::Status status = peer->Finish(); !status.ok()) return status;
  return stream;
}

// Nobody else's channel is called so.
std::string UniqueName() {
  return absl::StrCat("bench.", absl::Hex(std::random_device{}(), absl::kZeroPad8), ".", getpid());
}

absl::StatusOr<BenchResult> Measure(const BenchOptions& options) {
  const std::string name = UniqueName();
  BenchResult result;
  const bool shows_progress = isatty(STDERR_FILENO) == 1;
  if (shows_progress) Note(absl::StrCat("round trips, for ", absl::FormatDuration(options.duration)));
  const absl::StatusOr<RoundTrips> trips = MeasureRoundTrips(name, options);
  if (!trips.ok()) return trips.status();
  result.round_trips.push_back(*trips);
  for (size_t i = 0; i < options.slot_bytes.size(); ++i) {
    if (Interrupted()) return absl::CancelledError("interrupted");
    if (shows_progress) {
      const absl::Duration left = options.duration * static_cast<int64_t>(options.slot_bytes.size() - i);
      Note(absl::StrCat("streaming slots of ", BytesText(options.slot_bytes[i]), "; ",
                        absl::FormatDuration(left), " left"));
    }
    const absl::StatusOr<Streaming> stream = MeasureStreaming(name, options.slot_bytes[i], options);
    if (!stream.ok()) return stream.status();
    result.streaming.push_back(*stream);
  }
  return result;
}

ExitCode Bench(const BenchOptions& options) {
  if (options.duration <= absl::ZeroDuration() || options.duration > absl::Hours(1)) {
    return Fail(kBadUsage, "--duration is how long each measurement takes; say for example --duration 1s");
  }
  WatchForInterrupts();
  const absl::StatusOr<BenchResult> result = Measure(options);
  if (Interrupted()) return kInterrupted;
  if (!result.ok()) return Fail(result.status());
  if (options.output == Output::kText) {
    PrintTable(TableOf(*result));
  } else {
    for (const nlohmann::ordered_json& object : ObjectsOf(*result)) PrintObject(object);
  }
  return kDone;
}

}  // namespace

void AddBench(CLI::App& app, Action& chosen) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* verb =
      app.add_subcommand("bench", "Measure this machine: round trips and streaming between two processes");
  verb->footer(absl::StrCat(kHelp, "\n", kExitCodeHelp));
  verb->add_option("--slot-bytes", options->slot_bytes, "What is streamed in; may be given several times")
      ->transform(CLI::AsSizeValue(false))
      ->check(CLI::Range(uint64_t{1}, shm::kMaxSlotBytes).description(""))
      ->type_name("BYTES")
      ->allow_extra_args(false)
      ->default_str("64, 4KiB, 64KiB and 1MiB");
  AddDuration(*verb, "--duration", options->duration, "How long each measurement takes");
  AddOutput(*verb, options->output);
  AddDirectory(*verb, options->directory);
  verb->callback([options, &chosen] { chosen = [options] { return Bench(*options); }; });
}

}  // namespace pylabhub::cli
