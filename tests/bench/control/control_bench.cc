// The control suite: the broker beside an empty gRPC call, etcd, and a ZeroMQ directory with CURVE. What
// `tests/bench/run.sh --suite control` runs.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <regex>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "proto/tls/certificate_set.h"
#include "tests/bench/control/broker_subject.h"
#include "tests/bench/control/echo_subject.h"
#include "tests/bench/control/etcd_subject.h"
#include "tests/bench/control/measure.h"
#include "tests/bench/control/recorder.h"
#include "tests/bench/control/zeromq_subject.h"
#include "tests/bench/machine.h"
#include "tests/bench/report.h"
#include "tests/bench/target.h"

namespace pylabhub::bench {
namespace {

constexpr double kMs = 1e6;

struct Options {
  std::string broker;
  std::string only;
  std::string json;
  int rounds = 9;
  int idle_calls = 4;
  bool check = false;
  RoundSettings round;
};

// Bounds that two figures make together are figures too, of subject `bound`: PrintVerdicts compares two.
void AddBounds(std::vector<Figure>& figures) {
  const auto find = [&](const std::string& bench, const std::string& subject) -> const Figure* {
    for (const Figure& figure : figures) {
      if (figure.bench == bench && figure.subject == subject) return &figure;
    }
    return nullptr;
  };
  const Figure* const echo = find("discover.cold", "echo");
  const Figure* const sync = find("register.durable", "fdatasync");
  if (echo == nullptr || sync == nullptr) return;
  Figure bound = *sync;
  bound.subject = "echo + 1.5 fdatasync";
  for (size_t round = 0; round < std::min(bound.rounds.size(), echo->rounds.size()); ++round)
    bound.rounds[round] = echo->rounds[round] + 1.5 * sync->rounds[round];
  bound.value = Median(bound.rounds);
  figures.push_back(bound);
}

const std::vector<Target>& Targets() {
  using enum Target::Bound;
  static const auto& targets = *new std::vector<Target>{
      {"discover.cold", kAtMost, 1.15, "echo"},
      {"discover.cold.p99", kAtMost, 1.3, "echo"},
      {"discover.cold.cpu", kAtMost, 1.15, "echo"},
      {"discover.cold", kAtMost, 0.45, "etcd"},
      {"discover.batch64", kAtLeast, 1, "zeromq"},
      {"discover.idle.max", kAtMost, 5 * kMs, "", "", true},
      {"register.durable", kAtMost, 1, "echo + 1.5 fdatasync"},
      {"register.durable", kAtMost, 0.7, "etcd"},
      {"register.durable64", kAtLeast, 2, "etcd"},
  };
  return targets;
}

class Suite {
 public:
  Suite(const Options& options, const std::string& folder, const std::string& program)
      : options_(options), folder_(folder) {
    const std::string certificates = folder + "/certificates";
    if (const auto made = tls::CreateCertificateSet(certificates); !made.ok()) {
      std::cerr << "error: " << made << std::endl;
      std::exit(2);
    }
    const int names = options.round.names;
    echo_ = MakeEchoSubject(program, certificates);
    broker_ = std::make_unique<BrokerSubject>(options.broker, certificates, folder + "/state", names);
    etcd_ = MakeEtcdSubject(certificates, folder + "/etcd", names);
    zeromq_ = MakeZeromqSubject(program, names);
  }

  absl::Status Run() {
    RoundSettings settings = options_.round;
    for (settings.round = 0; settings.round < options_.rounds; ++settings.round) {
      if (absl::Status status = RunRound(settings); !status.ok()) return status;
    }
    if (Wants("memory.channel")) {
      recorder_.Add("memory.channel", "pylabhub", "bytes", broker_->bytes_for_channels() / settings.names);
    }
    return absl::OkStatus();
  }

  std::vector<Figure> Figures() const {
    std::vector<Figure> figures = recorder_.Figures("echo");
    AddBounds(figures);
    return figures;
  }

 private:
  bool Wants(const std::string& bench) const {
    return std::regex_search(bench, std::regex(options_.only, std::regex::extended));
  }

  std::vector<DirectorySubject*> Subjects() const {
    std::vector<DirectorySubject*> subjects = {echo_.get(), broker_.get(), zeromq_.get()};
    if (etcd_ != nullptr) subjects.push_back(etcd_.get());
    return subjects;
  }

  absl::Status RunRound(const RoundSettings& settings) {
    absl::Status status = absl::OkStatus();
    for (DirectorySubject* const subject : Subjects()) {
      if (Wants("discover.cold")) status.Update(MeasureLookups(*subject, settings, recorder_));
    }
    for (DirectorySubject* const subject : Subjects()) {
      if (Wants("discover.batch64") && subject->HasBatches())
        status.Update(MeasureBatches(*subject, settings, recorder_));
    }
    if (Wants("register.durable")) status.Update(MeasureSync(folder_, settings, recorder_));
    for (DirectorySubject* const subject : Subjects()) {
      if (Wants("register.durable") && subject->CanPut())
        status.Update(MeasureWrites(*subject, settings, recorder_));
    }
    for (DirectorySubject* const subject : Subjects()) {
      if (Wants("register.durable64") && subject->MayBeCalledAtOnce())
        status.Update(MeasureWritesAtOnce(*subject, settings, recorder_));
    }
    if (Wants("heartbeat.10k")) status.Update(MeasureHeartbeats(*broker_, settings, recorder_));
    if (Wants("discover.idle"))
      status.Update(MeasureIdle({echo_.get(), broker_.get()}, options_.idle_calls, settings, recorder_));
    return status;
  }

  const Options options_;
  const std::string folder_;
  std::unique_ptr<DirectorySubject> echo_;
  std::unique_ptr<BrokerSubject> broker_;
  std::unique_ptr<DirectorySubject> etcd_;
  std::unique_ptr<DirectorySubject> zeromq_;
  Recorder recorder_;
};

// Absolute bounds that are not times.
int PrintOwnVerdicts(const std::vector<Figure>& figures) {
  int missed = 0;
  const auto judge = [&](const char* bench, double most, const char* unit) {
    for (const Figure& figure : figures) {
      if (figure.bench != bench || figure.subject != "pylabhub") continue;
      const bool ok = figure.value <= most;
      missed += ok ? 0 : 1;
      std::cout << absl::StrFormat("  target %s <= %g %s: %.3g %s\n", bench, most, unit, figure.value,
                                   ok ? "ok" : "MISSED");
    }
  };
  judge("heartbeat.10k", 0.05, "cores");
  judge("memory.channel", 1024, "bytes");
  return missed;
}

int RunSuite(const Options& options, const std::string& program) {
  // Not in /tmp, which may be memory: what is durable there tells nothing.
  std::string folder = "/var/tmp/pylabhub-bench.XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) {
    std::cerr << "error: cannot make a folder in /var/tmp" << std::endl;
    return 2;
  }
  const ProcessorTime processors;
  absl::Status status = absl::OkStatus();
  std::vector<Figure> figures;
  {
    Suite suite(options, folder, program);
    status = suite.Run();
    figures = suite.Figures();
  }
  std::filesystem::remove_all(folder);
  if (!status.ok()) {
    std::cerr << "error: " << status << std::endl;
    return 1;
  }
  std::cout << absl::StrFormat("%-24s %-10s %10s %17s  %s\n", "bench", "subject", "to echo", "median",
                               "lowest .. highest round");
  PrintTable(figures, std::cout);
  const bool quiet = processors.OthersShare() < 0.02 && processors.StolenShare() < 0.02;
  const int missed = PrintVerdicts(Targets(), figures, quiet, std::cout) + PrintOwnVerdicts(figures);
  if (!options.json.empty()) {
    std::ofstream json(options.json);
    for (const Figure& figure : figures) PrintJsonLine(figure, json);
  }
  std::cout << absl::StrFormat(
      "%d rounds of %g s, %d names. Of the processors' time the host took %.1f%%, other processes %.1f%%.\n",
      options.rounds, options.round.seconds, options.round.names, 100 * processors.StolenShare(),
      100 * processors.OthersShare());
  if (missed != 0) std::cout << missed << " targets were missed.\n";
  return options.check && missed != 0 ? 1 : 0;
}

}  // namespace
}  // namespace pylabhub::bench

// NOLINTNEXTLINE(bugprone-exception-escape): a wrong definition of a flag, which is ours, may end the program
int main(int argc, char** argv) {
  using namespace pylabhub::bench;
  CLI::App app{
      "Measures the broker beside an empty gRPC call, etcd and ZeroMQ with CURVE, interleaved in each "
      "round."};
  Options options;
  std::string suite;
  std::string certificates;
  bool serve_echo = false;
  bool serve_zeromq = false;
  int names = 0;
  app.add_option("--suite", suite, "control")->check(CLI::IsMember({"control"}));
  app.add_option("--broker", options.broker, "the program pylabhub-broker")->check(CLI::ExistingFile);
  app.add_option("--only", options.only, "run the benches in whose name this regular expression is found");
  app.add_option("--json", options.json, "also write one JSON object a figure to this file");
  app.add_option("--rounds", options.rounds, "how often each subject is measured; the median counts")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--seconds", options.round.seconds, "how long one subject is measured in one round")
      ->check(CLI::Range(0.001, 60.0))
      ->capture_default_str();
  app.add_option("--names", options.round.names, "how many names every subject holds")
      ->check(CLI::Range(1000, 10000))
      ->capture_default_str();
  app.add_option("--idle-calls", options.idle_calls, "calls after a gap of 1 to 2 s, in each round")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_flag("--check", options.check, "exit with 1 if a target is missed");
  // What this program does when it starts itself as a subject's server.
  app.add_flag("--serve-echo", serve_echo)->group("");
  app.add_flag("--serve-zeromq", serve_zeromq)->group("");
  app.add_option("--certificates", certificates)->group("");
  CLI11_PARSE(app, argc, argv);
  names = options.round.names;
  if (serve_echo) return ServeEcho(certificates);
  if (serve_zeromq) return ServeZeromq(names);
  if (options.broker.empty()) {
    std::cerr << "error: --broker is missing; run tests/bench/run.sh --suite control" << std::endl;
    return 2;
  }
  return RunSuite(options, "/proc/self/exe");
}
