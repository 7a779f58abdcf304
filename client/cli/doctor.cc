#include "client/cli/doctor.h"

#include <unistd.h>

#include <algorithm>
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
#include "client/cli/metrics_json.h"
#include "client/cli/print.h"
#include "client/cli/rates.h"
#include "client/cli/terminal.h"
#include "shm/diagnosis.h"

namespace pylabhub::cli {
namespace {

using nlohmann::ordered_json;
using shm::ChannelMetrics;
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
    const uint32_t alive = CountAlive(metrics);
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

ordered_json ToJson(const SegmentReport& report) {
  ordered_json json = {{"channel", report.channel},
                       {"segment_id", report.segment_id.ToHex()},
                       {"current", report.current},
                       {"abandoned", report.abandoned},
                       {"problems", report.problems}};
  if (!report.status.ok()) return json;
  json.update(CountersOf(report.metrics));
  return json;
}

void PrintJson(const Diagnosis& diagnosis) {
  for (const SegmentReport& report : diagnosis.segments) PrintObject(ToJson(report));
  for (const FileReport& file : diagnosis.files) {
    PrintObject({{"file", file.path}, {"abandoned", file.abandoned}, {"problems", {file.what}}});
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
      PrintObject(
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
