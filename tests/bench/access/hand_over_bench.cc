// What handing memory over costs: attaching to a channel that way beside a Discover of the same broker, and slots through memory that
// was handed over beside slots through files, interleaved in each round.
//
//   tests/bench/run.sh --suite access
//   hand_over_bench [ROUNDS]
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/channel.h"
#include "client/grpc_broker_connection.h"
#include "client/messenger.h"
#include "client/session_id.h"
#include "proto/tls/certificate_set.h"
#include "shm/data_block_consumer.h"
#include "tests/support/lab_broker.h"
#include "tests/support/temp_folder.h"

namespace pylabhub {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kAttaches = 100;
constexpr uint64_t kSlots = 200'000;
constexpr uint64_t kTrips = 20'000;
constexpr uint64_t kPayloadBytes = 64;
constexpr absl::Duration kPatience = absl::Seconds(10);

template <typename Value>
Value Unwrap(absl::StatusOr<Value> outcome, const char* what) {
  if (outcome.ok()) return *std::move(outcome);
  std::fprintf(stderr, "error: %s: %s\n", what, outcome.status().ToString().c_str());
  std::exit(2);
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double MicrosOf(const std::function<void()>& call) {
  const Clock::time_point start = Clock::now();
  call();
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

void RunOnCore(unsigned core) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(core % std::max(1U, std::thread::hardware_concurrency()), &cores);
  pthread_setaffinity_np(pthread_self(), sizeof(cores), &cores);
}

// A figure for each round, by name.
using Figures = std::map<std::string, std::vector<double>>;

shm::ChannelConfig Config(const std::string& name) {
  return {.channel = name,
          .policy = shm::Policy::kSyncReader,
          .capacity_slots = 64,
          .slot_bytes = kPayloadBytes,
          .max_consumers = 512,
          .min_consumers = 0};
}

void MeasureAttach(Messenger& messenger, BrokerConnection& connection, int round, Figures& figures) {
  const std::string name = absl::StrCat("bench.attach.", round);
  const ChannelProducer producer = Unwrap(CreateChannel(Config(name), &messenger), "create");
  const std::string session = RandomSessionId();
  std::vector<double> discover;
  std::vector<double> collect;
  std::vector<double> attach;
  for (int i = 0; i < kAttaches; ++i) {
    discover.push_back(MicrosOf([&] { Unwrap(connection.Discover(name, kPatience), "discover"); }));
    const ConsumerSpec spec = {.channel = name, .consumer_id = absl::StrCat("c", i)};
    std::unique_ptr<shm::DataBlockConsumer> block;
    attach.push_back(MicrosOf([&] {
      const Grant grant = Unwrap(connection.ConsumerRegister(session, spec, kPatience), "register");
      absl::StatusOr<CollectedMemory> memory = absl::UnknownError("");
      collect.push_back(MicrosOf([&] {
        memory = connection.Collect(*grant.hand_over, {}, kPatience);
        if (!memory.ok()) return;
        block = Unwrap(shm::DataBlockConsumer::OpenSealed({.data = shm::UniqueFd(memory->data.Release()),
                                                           .bell = shm::UniqueFd(memory->bell.Release()),
                                                           .part = shm::UniqueFd(memory->part.Release())}),
                       "open");
      }));
      Unwrap(std::move(memory), "collect");
    }));
  }
  figures["discover"].push_back(Median(discover));
  figures["handover.collect"].push_back(Median(collect));
  figures["handover.attach"].push_back(Median(attach));
}

// Millions of slots a second, from one thread to another.
double MeasureStream(shm::DataBlockProducer& producer, shm::DataBlockConsumer& consumer) {
  std::thread writer([&] {
    RunOnCore(1);
    for (uint64_t i = 0; i < kSlots; ++i) {
      shm::WriteSlot slot = producer.Acquire(kPatience);
      if (!slot) std::exit(2);
      std::memcpy(slot.payload().data(), &i, sizeof(i));
      slot.Commit(kPayloadBytes);
    }
  });
  RunOnCore(0);
  const double micros = MicrosOf([&] {
    for (uint64_t i = 0; i < kSlots; ++i) {
      if (!consumer.Acquire(kPatience)) std::exit(2);
    }
  });
  writer.join();
  return static_cast<double>(kSlots) / micros;
}

// Microseconds there and back.
double MeasureTrip(shm::DataBlockProducer& there, shm::DataBlockConsumer& there_end,
                   shm::DataBlockProducer& back, shm::DataBlockConsumer& back_end) {
  std::thread echo([&] {
    RunOnCore(1);
    for (uint64_t i = 0; i < kTrips; ++i) {
      if (!there_end.Acquire(kPatience)) std::exit(2);
      shm::WriteSlot slot = back.Acquire(kPatience);
      slot.Commit(kPayloadBytes);
    }
  });
  RunOnCore(0);
  std::vector<double> trips;
  for (uint64_t i = 0; i < kTrips; ++i) {
    trips.push_back(MicrosOf([&] {
      shm::WriteSlot slot = there.Acquire(kPatience);
      slot.Commit(kPayloadBytes);
      if (!back_end.Acquire(kPatience)) std::exit(2);
    }));
  }
  echo.join();
  return Median(trips);
}

void MeasureDataPlane(Messenger& messenger, int round, MemoryChoice memory, Figures& figures) {
  const std::string kind = memory == MemoryChoice::kNamed ? "named" : "handed_over";
  const std::string name = absl::StrCat("bench.", kind, ".", getpid(), ".", round);
  shm::ChannelConfig config = Config(name);
  config.max_consumers = 4;
  const shm::WaitOptions spin = {.spin = absl::InfiniteDuration()};
  const auto create = [&](const std::string& channel) {
    config.channel = channel;
    return Unwrap(CreateChannel(config, &messenger, spin, memory), "create");
  };
  const auto connect = [&](const std::string& channel) {
    return Unwrap(ConnectChannel(channel, kPatience, &messenger, {.wait = spin}), "connect");
  };
  const ChannelProducer there = create(name + ".there");
  const ChannelProducer back = create(name + ".back");
  const ChannelConsumer there_end = connect(name + ".there");
  const ChannelConsumer back_end = connect(name + ".back");
  figures["stream.64B." + kind].push_back(MeasureStream(*there.block, *there_end.block));
  figures["rtt.64B." + kind].push_back(
      MeasureTrip(*there.block, *there_end.block, *back.block, *back_end.block));
}

// The median of the rounds' own ratios, which the host's moods disturb least.
double Ratio(const Figures& figures, const std::string& of, const std::string& to) {
  std::vector<double> ratios;
  for (size_t i = 0; i < figures.at(of).size(); ++i) ratios.push_back(figures.at(of)[i] / figures.at(to)[i]);
  return Median(ratios);
}

void Print(const Figures& figures, const std::string& name, const std::string& unit, const std::string& to) {
  const std::vector<double>& rounds = figures.at(name);
  std::printf("%-24s %10.2f %12.2f %-7s %10.2f .. %.2f\n", name.c_str(), Ratio(figures, name, to),
              Median(rounds), unit.c_str(), *std::min_element(rounds.begin(), rounds.end()),
              *std::max_element(rounds.begin(), rounds.end()));
}

int Run(int rounds) {
  const testing::TempFolder folder("/tmp");
  const testing::LabBroker broker(absl::Seconds(10), {.socket = folder / "s"});
  const auto messenger = Unwrap(Messenger::Connect(broker.ToHere()), "connect");
  const tls::TlsFiles files =
      Unwrap(tls::LoadTlsFiles(tls::ClientPathsIn(broker.certificates_folder())), "certificates");
  const auto connection = NewGrpcBrokerConnection(broker.address(), "", files);
  Figures figures;
  for (int round = 0; round < rounds; ++round) {
    MeasureAttach(*messenger, *connection, round, figures);
    MeasureDataPlane(*messenger, round, MemoryChoice::kNamed, figures);
    MeasureDataPlane(*messenger, round, MemoryChoice::kHandedOver, figures);
  }
  std::printf("%-24s %10s %20s %10s\n", "bench", "ratio", "median", "lowest .. highest round");
  Print(figures, "discover", "us", "discover");
  Print(figures, "handover.collect", "us", "discover");
  Print(figures, "handover.attach", "us", "discover");
  Print(figures, "stream.64B.named", "M/s", "stream.64B.named");
  Print(figures, "stream.64B.handed_over", "M/s", "stream.64B.named");
  Print(figures, "rtt.64B.named", "us", "rtt.64B.named");
  Print(figures, "rtt.64B.handed_over", "us", "rtt.64B.named");
  const double attach = Ratio(figures, "handover.attach", "discover");
  std::printf("  target handover.attach <= 3 x discover: %.2f %s\n", attach, attach <= 3 ? "ok" : "MISSED");
  return 0;
}

}  // namespace
}  // namespace pylabhub

int main(int argc, char** argv) { return pylabhub::Run(argc > 1 ? std::atoi(argv[1]) : 7); }
