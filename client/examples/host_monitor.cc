// Reads what host_sampler writes, checks every sample, and shows once a second how the host does.
//
//   host_monitor --channel host.sample                 every sample, none lost
//   host_monitor --channel host.sample --read latest   the newest sample whenever it looks, which is ten
//   times a second
//
// Ends when the sampler does, or on Ctrl-C, with one line of JSON on standard output: {"received":N,"lost":N,"torn":N}.
// `lost` counts gaps in the sampler's own numbering ("skipped" for `latest`, which means to skip); `torn` counts samples
// whose check word is wrong.
#include <signal.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "client/channel.h"
#include "client/examples/host_sample.h"

namespace pylabhub::examples {
namespace {

constexpr absl::Duration kLatestPeriod = absl::Milliseconds(100);
// The longest that it goes without looking for Ctrl-C.
constexpr absl::Duration kPatience = absl::Milliseconds(100);

volatile sig_atomic_t interrupted = 0;

struct MonitorOptions {
  std::string channel = "host.sample";
  std::string read = "next";
  double wait_s = 60;
  std::string broker;
  std::string certificates_folder;
};

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "host_monitor: %s\n", std::string(status.message()).c_str());
  return 1;
}

// Counts what came, what did not, and what came damaged.
class Tally {
 public:
  void Add(const HostSample& sample) {
    ++received_;
    if (!IsWhole(sample)) {
      ++torn_;
      return;  // Its number is not to be trusted either.
    }
    // A number that goes back would be a gap of almost 2^64: as wrong as it is.
    lost_ += sample.number - next_number_;
    next_number_ = sample.number + 1;
  }

  // `gap` says what a gap is called: an error, or the intention.
  std::string Json(absl::string_view gap) const {
    return absl::StrFormat("{\"received\":%d,\"%s\":%d,\"torn\":%d}", received_, gap, lost_, torn_);
  }
  uint64_t received() const { return received_; }
  uint64_t torn() const { return torn_; }

 private:
  uint64_t received_ = 0;
  uint64_t lost_ = 0;
  uint64_t torn_ = 0;
  uint64_t next_number_ = 0;
};

// Says once a second, of the sampler's time, what happened since the last line.
class Display {
 public:
  explicit Display(std::string title) : title_(std::move(title)) {}

  void Show(const HostSample& sample, const Tally& tally) {
    if (!last_) {
      last_ = sample;
      return;
    }
    const double elapsed_s = static_cast<double>(sample.timestamp_ns - last_->timestamp_ns) / 1e9;
    if (elapsed_s < 1) return;
    const auto busy = static_cast<double>(sample.cpu_busy_ns - last_->cpu_busy_ns);
    const auto idle = static_cast<double>(sample.cpu_idle_ns - last_->cpu_idle_ns);
    const auto switches = static_cast<double>(sample.context_switches - last_->context_switches);
    absl::PrintF(
        "  %-8s sample %7d  received %7d  torn %d   cpu %5.1f %%  switches %7.0f /s  memory free %d MiB\n",
        title_, sample.number, tally.received(), tally.torn(),
        busy + idle > 0 ? 100 * busy / (busy + idle) : 0, switches / elapsed_s,
        sample.memory_available_bytes >> 20);
    std::fflush(stdout);
    last_ = sample;
  }

 private:
  std::string title_;
  std::optional<HostSample> last_;
};

int Monitor(const MonitorOptions& options) {
  const bool latest = options.read == "latest";
  shm::ConsumerOptions consumer_options;
  consumer_options.order = latest ? shm::ReadOrder::kLatest : shm::ReadOrder::kNext;
  std::unique_ptr<Messenger> messenger;
  if (!options.broker.empty()) {
    auto connected =
        Messenger::Connect({.address = options.broker, .certificates_folder = options.certificates_folder});
    if (!connected.ok()) return Fail(connected.status());
    messenger = *std::move(connected);
  }
  auto consumer = Consumer<HostSample>::Connect(options.channel, absl::Seconds(options.wait_s),
                                                messenger.get(), consumer_options);
  if (!consumer.ok()) return Fail(consumer.status());

  Tally tally;
  Display display(latest ? "latest" : "lossless");
  while (interrupted == 0) {
    const std::optional<HostSample> sample = consumer->Read(kPatience);
    if (!sample && consumer->last_result() == shm::SlotResult::kTimeout) continue;
    if (!sample) break;
    tally.Add(*sample);
    display.Show(*sample, tally);
    if (latest) absl::SleepFor(kLatestPeriod);
  }
  if (interrupted == 0 && consumer->last_result() != shm::SlotResult::kProducerClosed) {
    return Fail(absl::DataLossError(shm::NameOf(consumer->last_result())));
  }
  std::puts(tally.Json(latest ? "skipped" : "lost").c_str());
  return 0;
}

}  // namespace
}  // namespace pylabhub::examples

// NOLINTNEXTLINE(bugprone-exception-escape): a wrong definition of a flag, which is ours, may end the program
int main(int argc, char** argv) {
  pylabhub::examples::MonitorOptions options;
  CLI::App app("Checks and shows the samples of host_sampler", "host_monitor");
  app.add_option("--channel", options.channel, "Where from")->capture_default_str();
  app.add_option("--read", options.read, "next: every sample; latest: the newest")
      ->check(CLI::IsMember({"next", "latest"}))
      ->capture_default_str();
  app.add_option("--wait", options.wait_s, "Seconds to wait for the channel to appear")
      ->capture_default_str();
  app.add_option("--broker", options.broker, "The broker's host:port; none: this host only")
      ->envname("PYLABHUB_BROKER");
  app.add_option("--certs", options.certificates_folder, "Folder with ca.pem, client.pem and client.key")
      ->envname("PYLABHUB_CERTS");
  CLI11_PARSE(app, argc, argv);

  // A consumer that is the last to leave removes the channel's files, so it must not just be ended.
  struct sigaction action = {};
  action.sa_handler = [](int) { pylabhub::examples::interrupted = 1; };
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  return pylabhub::examples::Monitor(options);
}
