#include "client/cli/doctor.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "client/cli/exit_code.h"
#include "client/cli/terminal.h"
#include "shm/diagnosis.h"

namespace pylabhub::cli {
namespace {

using nlohmann::ordered_json;
using shm::ChannelMetrics;
using shm::ConsumerMetrics;
using shm::Diagnosis;
using shm::FileReport;
using shm::Leftover;
using shm::SegmentReport;

constexpr char kHelp[] = R"(
Examples:
  pylabhub doctor
  pylabhub doctor --check
  pylabhub doctor --clean
  pylabhub doctor --output json | jq -r 'select(.abandoned) | .channel'
)";

struct DoctorOptions {
  Output output = Output::kText;
  std::string directory = "/dev/shm";
  bool check = false;
  bool clean = false;
  bool yes = false;
};

const char* NameOf(shm::ProducerState state) {
  switch (state) {
    case shm::ProducerState::kAlive:
      return "alive";
    case shm::ProducerState::kClosed:
      return "closed";
    case shm::ProducerState::kDead:
      return "dead";
  }
  return "unknown";
}

uint64_t CountAlive(const ChannelMetrics& metrics) {
  return static_cast<uint64_t>(std::count_if(metrics.consumers.begin(), metrics.consumers.end(),
                                             [](const ConsumerMetrics& consumer) { return consumer.alive; }));
}

uint64_t LargestLag(const ChannelMetrics& metrics) {
  uint64_t lag = 0;
  for (const ConsumerMetrics& consumer : metrics.consumers)
    lag = std::max(lag, consumer.alive ? consumer.lag : 0);
  return lag;
}

std::string Age(const ChannelMetrics& metrics) {
  return absl::FormatDuration(absl::Trunc(absl::Now() - metrics.created, absl::Seconds(1)));
}

const char* Place(const SegmentReport& report) {
  if (report.abandoned) return "left over";
  return report.current ? "current" : "older";
}

// What comes out of files that anybody may have made.
std::string Shown(absl::string_view text) { return absl::Utf8SafeCHexEscape(text); }

void PrintTable(const Diagnosis& diagnosis) {
  size_t width = 7;
  for (const SegmentReport& report : diagnosis.segments) width = std::max(width, report.channel.size());
  absl::PrintF("%-*s  %-8s  %-9s  %-8s  %7s  %5s  %4s  %8s  %13s  %s\n", width, "CHANNEL", "SEGMENT", "STATE",
               "PRODUCER", "PID", "ALIVE", "DEAD", "LAG", "BYTES", "AGE");
  for (const SegmentReport& report : diagnosis.segments) {
    const std::string id = report.segment_id.ToHex().substr(0, 8);
    const ChannelMetrics& metrics = report.metrics;
    if (!report.status.ok()) {
      absl::PrintF("%-*s  %-8s  %-9s  cannot be read\n", width, report.channel, id, Place(report));
      continue;
    }
    const uint64_t alive = CountAlive(metrics);
    absl::PrintF("%-*s  %-8s  %-9s  %-8s  %7d  %5d  %4d  %8d  %13d  %s\n", width, report.channel, id,
                 Place(report), NameOf(metrics.producer_state), metrics.producer_pid, alive,
                 metrics.consumers.size() - alive, LargestLag(metrics), metrics.segment_bytes, Age(metrics));
  }
}

void PrintProblems(const Diagnosis& diagnosis) {
  for (const SegmentReport& report : diagnosis.segments) {
    for (const std::string& problem : report.problems) {
      absl::PrintF("%s: %s %s: %s\n", Paint(STDOUT_FILENO, Colour::kYellow, "wrong"), report.channel,
                   report.segment_id.ToHex().substr(0, 8), Shown(problem));
    }
  }
  for (const FileReport& file : diagnosis.files) {
    absl::PrintF("%s: %s: %s\n", Paint(STDOUT_FILENO, Colour::kYellow, "wrong"), Shown(file.path),
                 Shown(file.what));
  }
}

ordered_json ToJson(const ConsumerMetrics& consumer) {
  return {{"place", consumer.place},
          {"alive", consumer.alive},
          {"pid", consumer.pid},
          {"order", consumer.order == shm::ReadOrder::kLatest ? "latest" : "next"},
          {"group", consumer.group},
          {"cursor", consumer.cursor},
          {"lag", consumer.lag},
          {"received_slots", consumer.received_slots},
          {"received_bytes", consumer.received_bytes},
          {"missed_slots", consumer.missed_slots},
          {"corrupt_slots", consumer.corrupt_slots},
          {"redelivered_slots", consumer.redelivered_slots},
          {"waits", consumer.waits},
          {"sleeps", consumer.sleeps},
          {"pinned_chunks", consumer.pinned_chunks},
          {"blocked_producer_ns", absl::ToInt64Nanoseconds(consumer.blocked_producer)}};
}

ordered_json ToJson(const SegmentReport& report) {
  ordered_json json = {{"channel", report.channel},
                       {"segment_id", report.segment_id.ToHex()},
                       {"current", report.current},
                       {"abandoned", report.abandoned},
                       {"problems", report.problems}};
  if (!report.status.ok()) return json;
  const ChannelMetrics& metrics = report.metrics;
  const shm::ProducerStats& producer = metrics.producer;
  json["producer"] = NameOf(metrics.producer_state);
  json["producer_pid"] = metrics.producer_pid;
  json["segment_bytes"] = metrics.segment_bytes;
  json["created_ns"] = absl::ToUnixNanos(metrics.created);
  json["committed_slots"] = producer.committed_slots;
  json["committed_bytes"] = producer.committed_bytes;
  json["aborted_slots"] = producer.aborted_slots;
  json["waits"] = producer.waits;
  json["blocked_ns"] = absl::ToInt64Nanoseconds(producer.blocked);
  json["wakes"] = producer.wakes;
  json["evicted_consumers"] = producer.evicted_consumers;
  json["dropped_backlogs"] = producer.dropped_backlogs;
  json["cut_off_consumers"] = producer.cut_off_consumers;
  json["invalid_peer_values"] = producer.invalid_peer_values;
  json["consumers"] = ordered_json::array();
  for (const ConsumerMetrics& consumer : metrics.consumers) json["consumers"].push_back(ToJson(consumer));
  return json;
}

void PrintLine(const ordered_json& json) {
  std::puts(json.dump(-1, ' ', false, ordered_json::error_handler_t::replace).c_str());
}

void PrintJson(const Diagnosis& diagnosis) {
  for (const SegmentReport& report : diagnosis.segments) PrintLine(ToJson(report));
  for (const FileReport& file : diagnosis.files) {
    PrintLine({{"file", file.path}, {"abandoned", file.abandoned}, {"problems", {file.what}}});
  }
}

std::string NameOf(const Leftover& leftover) {
  if (leftover.segment_id.is_nil()) return absl::StrCat(leftover.channel, ", its anchor");
  return absl::StrCat(leftover.channel, " ", leftover.segment_id.ToHex().substr(0, 8));
}

bool Agrees() {
  std::fprintf(stderr, "Remove them? [y/N] ");
  std::string answer;
  std::getline(std::cin, answer);
  return answer == "y" || answer == "yes";
}

ExitCode Clean(const Diagnosis& diagnosis, const DoctorOptions& options) {
  const std::vector<Leftover> leftovers = shm::LeftoversOf(diagnosis);
  if (leftovers.empty()) {
    Note("nothing is left over");
    return kDone;
  }
  for (const Leftover& leftover : leftovers) {
    Note(absl::StrCat("left over: ", Shown(NameOf(leftover)), " (", Shown(leftover.what), ")"));
  }
  if (!options.yes && isatty(STDIN_FILENO) != 1) {
    return Fail(kBadUsage, "nothing was removed: there is no terminal to ask on; add --yes");
  }
  if (!options.yes && !Agrees()) {
    Note("nothing was removed");
    return kDone;
  }
  bool all = true;
  for (const Leftover& leftover : leftovers) {
    const bool removed = shm::RemoveLeftover(options.directory, leftover);
    all = all && removed;
    if (options.output == Output::kJson) {
      PrintLine(
          {{"channel", leftover.channel}, {"segment_id", leftover.segment_id.ToHex()}, {"removed", removed}});
    } else {
      absl::PrintF("%s: %s\n", removed ? "removed" : "kept", Shown(NameOf(leftover)));
    }
  }
  if (all) return kDone;
  return Fail(kFailed,
              "what was kept is in use by now, was removed by somebody else, or may not be removed by you");
}

ExitCode Doctor(const DoctorOptions& options) {
  const absl::StatusOr<Diagnosis> diagnosis =
      shm::Diagnose(options.directory, {.verify_checksums = options.check});
  if (!diagnosis.ok()) return Fail(diagnosis.status());
  if (options.clean) return Clean(*diagnosis, options);
  if (options.output == Output::kJson) {
    PrintJson(*diagnosis);
  } else {
    PrintTable(*diagnosis);
    PrintProblems(*diagnosis);
  }
  return options.check && !diagnosis->healthy() ? kFailed : kDone;
}

}  // namespace

void AddDoctor(CLI::App& app, Action& chosen) {
  auto options = std::make_shared<DoctorOptions>();
  CLI::App* verb = app.add_subcommand("doctor", "Look at what lies in shared memory, check it, clean it up");
  verb->footer(absl::StrCat(kHelp, "\n", kExitCodeHelp));
  AddOutput(*verb, options->output);
  AddDirectory(*verb, options->directory);
  CLI::Option* check = verb->add_flag(
      "--check", options->check, "Verify checksums too; exit with 1 if something is wrong; touches nothing");
  CLI::Option* clean =
      verb->add_flag("--clean", options->clean,
                     "Show what nobody alive uses, and remove it after a question on the terminal");
  clean->excludes(check);
  verb->add_flag("--yes", options->yes, "--clean does not ask")->needs(clean);
  verb->callback([options, &chosen] { chosen = [options] { return Doctor(*options); }; });
}

}  // namespace pylabhub::cli
