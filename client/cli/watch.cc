#include "client/cli/watch.h"

#include <algorithm>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/broker_option.h"
#include "client/cli/exit_code.h"
#include "client/cli/interrupt.h"
#include "client/cli/print.h"
#include "client/cli/terminal.h"
#include "client/cli/watch_teller.h"
#include "client/error_reason.h"
#include "client/grpc_broker_connection.h"
#include "proto/names/name_pattern.h"
#include "proto/tls/certificate_set.h"

namespace pylabhub::cli {
namespace {

constexpr absl::Duration kRetryPause = absl::Seconds(1);

constexpr char kHelp[] = R"(
Shows the channels as they are, and then what becomes of them: present, created, replaced (by another producer), ready,
closing, closed, consumer_joined, consumer_left, schema_changed. A broker that goes away is waited for, and what happened
meanwhile is told if the broker still knows it; else everything is told again. In PATTERN, * stands for any characters.

Examples:
  pylabhub watch --broker lab7:5570 --certs ~/pylabhub-certs
  pylabhub watch 'camera.*' --changes --profile lab7
  pylabhub watch --output json | jq -r 'select(.event == "closed") | .channel'
)";

struct WatchOptions {
  std::vector<std::string> patterns;
  bool changes = false;
  uint64_t count = 0;
  Output output = Output::kText;
  BrokerOption broker;
};

// Shows what a stream brings; knows nothing of command lines.
class Watcher {
 public:
  Watcher(BrokerConnection& connection, const WatchOptions& options)
      : connection_(connection), options_(options) {
    request_.name_patterns = options.patterns;
    request_.snapshot = true;
  }

  ExitCode Run() {
    while (true) {
      const absl::Status status = ReadStream();
      if (Interrupted()) return kInterrupted;
      if (done_) return kDone;
      if (ReasonOf(status) == reason::kRevisionCompacted) {
        request_ = {.name_patterns = options_.patterns, .snapshot = true};
        continue;
      }
      if (!absl::IsUnavailable(status) && !absl::IsResourceExhausted(status)) return Fail(status);
      Note(absl::StrCat("the broker's events ended: ", status.message(), "; trying again"));
      if (!Pause(kRetryPause)) return kInterrupted;
    }
  }

 private:
  // Until it ends, or everything was shown.
  absl::Status ReadStream() {
    const std::unique_ptr<WatchStream> stream = connection_.Watch(request_);
    const std::jthread canceller([&stream](const std::stop_token& stop) {
      while (!stop.stop_requested() && !Interrupted()) absl::SleepFor(kInterruptSlice);
      stream->Cancel();
    });
    while (!done_) {
      const absl::StatusOr<WatchBatch> batch = stream->Next();
      if (!batch.ok()) return batch.status();
      for (const WatchEvent& event : batch->events) Take(event);
      if (!Flush()) done_ = true;
      // From here on after an interruption, once everything that was there has been told.
      if (told_snapshot_) {
        request_ = {
            .name_patterns = options_.patterns, .after_revision = revision_, .history_id = batch->history_id};
      }
    }
    return absl::OkStatus();
  }

  void Take(const WatchEvent& event) {
    revision_ = std::max(revision_, event.revision);
    told_snapshot_ = told_snapshot_ || event.kind == WatchEventKind::kSnapshotComplete;
    const std::optional<WatchNews> news = teller_.Tell(event);
    if (!news || done_ || (options_.changes && news->what == "present")) return;
    if (options_.output == Output::kJson) {
      PrintObject(ToJson(*news));
    } else {
      const std::string time = absl::FormatTime("%H:%M:%E3S", absl::Now(), absl::LocalTimeZone());
      PrintLine(absl::StrCat(time, "  ", TextOf(*news)));
    }
    done_ = options_.count > 0 && ++shown_ >= options_.count;
  }

  BrokerConnection& connection_;
  const WatchOptions& options_;
  WatchRequest request_;
  WatchTeller teller_;
  uint64_t revision_ = 0;
  bool told_snapshot_ = false;
  uint64_t shown_ = 0;
  bool done_ = false;
};

absl::Status CheckOptions(const WatchOptions& options) {
  if (options.broker.address.empty()) {
    return absl::InvalidArgumentError("events are told by a broker: say which with --broker HOST:PORT");
  }
  for (const std::string& pattern : options.patterns) {
    if (names::IsNamePattern(pattern)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("'", pattern, "': no channel can have such a name; a pattern has [a-z0-9._-], * and ?"));
  }
  return absl::OkStatus();
}

ExitCode Watch(const WatchOptions& options) {
  if (absl::Status status = CheckOptions(options); !status.ok()) return Fail(status);
  // For the checks that it makes, and the words that it has for what goes wrong.
  if (const auto broker = BrokerLink::Connect(options.broker); !broker.ok()) return Fail(broker.status());
  const absl::StatusOr<tls::TlsFiles> files =
      tls::LoadTlsFiles(tls::ClientPathsIn(options.broker.certificates_folder));
  if (!files.ok()) return Fail(files.status());
  const bool is_unix = options.broker.address.starts_with("unix:");
  const std::unique_ptr<BrokerConnection> connection =
      NewGrpcBrokerConnection(options.broker.address, is_unix ? "localhost" : "", *files);
  WatchForInterrupts();
  return Watcher(*connection, options).Run();
}

}  // namespace

void AddWatch(CLI::App& app, Action& chosen) {
  auto options = std::make_shared<WatchOptions>();
  CLI::App* verb = app.add_subcommand("watch", "What happens to channels, as the broker tells it, live");
  verb->footer(absl::StrCat(kHelp, "\n", kExitCodeHelp));
  verb->add_option("PATTERN", options->patterns,
                   "Names of channels, such as 'camera.*'; without one: every channel")
      ->type_name("");
  verb->add_flag("--changes", options->changes, "Not what is there already");
  verb->add_option("--count", options->count, "Stop after so many events; 0 never stops")
      ->type_name("N")
      ->capture_default_str();
  AddOutput(*verb, options->output)->type_name("text|json")->default_str("text");
  AddBroker(*verb, options->broker);
  verb->callback([options, &chosen] { chosen = [options] { return Watch(*options); }; });
}

}  // namespace pylabhub::cli
