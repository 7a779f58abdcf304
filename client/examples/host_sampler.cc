// Samples this host from /proc, a thousand times a second, into a channel. Nothing is lost to consumers that
// read on; those that only want the newest sample never hold it up.
//
//   host_sampler --channel host.sample --rate 1000 --seconds 5 --consumers 2
//
// Ends with one line of JSON on standard output: {"sampled":N,"late":N}, where `late` counts samples that
// were taken more than one period after their time.
#include <signal.h>
#include <time.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "client/channel.h"
#include "client/examples/host_probe.h"
#include "client/examples/host_sample.h"

namespace pylabhub::examples {
namespace {

struct SamplerOptions {
  std::string channel = "host.sample";
  int64_t rate_hz = 1000;
  double seconds = 0;
  uint32_t consumers = 0;
  double wait_s = 60;
  std::string broker;
  std::string certificates_folder;
};

volatile sig_atomic_t interrupted = 0;

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "host_sampler: %s\n", std::string(status.message()).c_str());
  return 1;
}

shm::ChannelConfig ConfigFrom(const SamplerOptions& options) {
  shm::ChannelConfig config;
  config.policy = shm::Policy::kSyncReader;
  config.capacity_slots = 1024;
  config.min_consumers = options.consumers;
  return config;
}

// The instants at which samples are due, on the monotonic clock.
class Metronome {
 public:
  explicit Metronome(int64_t period_ns) : period_ns_(period_ns) { clock_gettime(CLOCK_MONOTONIC, &due_); }

  // Sleeps until the next instant. False if more than a period has already gone by since.
  bool Wait() {
    due_.tv_nsec += period_ns_;
    due_.tv_sec += due_.tv_nsec / 1'000'000'000;
    due_.tv_nsec %= 1'000'000'000;
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due_, nullptr) == EINTR && interrupted == 0) {
    }
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - due_.tv_sec) * 1'000'000'000 + now.tv_nsec - due_.tv_nsec <= period_ns_;
  }

 private:
  int64_t period_ns_;
  timespec due_;
};

// Waits in slices, so that Ctrl-C is heard.
shm::TypedWriteSlot<HostSample> AcquireWithin(absl::Duration timeout, Producer<HostSample>& producer) {
  constexpr absl::Duration kSlice = absl::Milliseconds(100);
  for (absl::Duration left = timeout;; left -= kSlice) {
    auto slot = producer.Acquire(std::min(left, kSlice));
    if (slot || left <= kSlice || interrupted != 0) return slot;
  }
}

int Sample(const SamplerOptions& options) {
  absl::StatusOr<HostProbe> probe = HostProbe::Open();
  if (!probe.ok()) return Fail(probe.status());
  std::unique_ptr<Messenger> messenger;
  if (!options.broker.empty()) {
    auto connected =
        Messenger::Connect({.address = options.broker, .certificates_folder = options.certificates_folder});
    if (!connected.ok()) return Fail(connected.status());
    messenger = *std::move(connected);
  }
  auto producer = Producer<HostSample>::Create(options.channel, messenger.get(), ConfigFrom(options));
  if (!producer.ok()) return Fail(producer.status());

  const auto wanted = static_cast<uint64_t>(options.seconds * static_cast<double>(options.rate_hz));
  uint64_t sampled = 0;
  uint64_t late = 0;
  Metronome metronome(1'000'000'000 / options.rate_hz);
  while (interrupted == 0 && (wanted == 0 || sampled < wanted)) {
    // Room first: the sample that is then taken is fresh.
    auto slot = AcquireWithin(absl::Seconds(options.wait_s), *producer);
    if (!slot && interrupted != 0) break;
    if (!slot) return Fail(absl::DeadlineExceededError("no consumer attached, or one reads no more"));
    if (sampled == 0) metronome = Metronome(1'000'000'000 / options.rate_hz);
    const absl::StatusOr<HostSample> sample = probe->Take();
    if (!sample.ok()) return Fail(sample.status());
    *slot = *sample;
    if (slot.Commit() != shm::SlotResult::kOk) return Fail(absl::InternalError("commit failed"));
    ++sampled;
    if (!metronome.Wait()) ++late;
  }
  std::printf("{\"sampled\":%llu,\"late\":%llu}\n", static_cast<unsigned long long>(sampled),
              static_cast<unsigned long long>(late));
  return 0;
}

}  // namespace
}  // namespace pylabhub::examples

// NOLINTNEXTLINE(bugprone-exception-escape): a wrong definition of a flag, which is ours, may end the program
int main(int argc, char** argv) {
  pylabhub::examples::SamplerOptions options;
  CLI::App app("Samples this host from /proc into a channel", "host_sampler");
  app.add_option("--channel", options.channel, "Where to")->capture_default_str();
  app.add_option("--rate", options.rate_hz, "Samples a second")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  app.add_option("--seconds", options.seconds, "How long; 0 until Ctrl-C")->check(CLI::NonNegativeNumber);
  app.add_option("--consumers", options.consumers, "Wait for so many before the first sample")
      ->capture_default_str();
  app.add_option("--wait", options.wait_s, "Seconds to wait for consumers before giving up")
      ->capture_default_str();
  app.add_option("--broker", options.broker, "The broker's host:port; none: this host only")
      ->envname("PYLABHUB_BROKER");
  app.add_option("--certs", options.certificates_folder, "Folder with ca.pem, client.pem and client.key")
      ->envname("PYLABHUB_CERTS");
  CLI11_PARSE(app, argc, argv);

  struct sigaction action = {};
  action.sa_handler = [](int) { pylabhub::examples::interrupted = 1; };
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  return pylabhub::examples::Sample(options);
}
