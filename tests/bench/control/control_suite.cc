#include "tests/bench/control/control_suite.h"

#include <cstdlib>
#include <iostream>
#include <regex>

#include "absl/strings/str_cat.h"
#include "proto/tls/certificate_set.h"
#include "tests/bench/control/control_targets.h"
#include "tests/bench/control/echo_subject.h"
#include "tests/bench/control/etcd_subject.h"
#include "tests/bench/control/idle_connections.h"
#include "tests/bench/control/measure.h"
#include "tests/bench/control/restart_bench.h"
#include "tests/bench/control/storm_bench.h"
#include "tests/bench/control/warm_lookups.h"
#include "tests/bench/control/watch_bench.h"
#include "tests/bench/control/zeromq_subject.h"

namespace pylabhub::bench {

ControlSuite::ControlSuite(const SuiteOptions& options, const std::string& folder, const std::string& program)
    : options_(options), folder_(folder), certificates_folder_(folder + "/certificates") {
  if (const auto made = tls::CreateCertificateSet(certificates_folder_); !made.ok()) {
    std::cerr << "error: " << made << std::endl;
    std::exit(2);
  }
  const int names = options.round.names;
  echo_ = MakeEchoSubject(program, certificates_folder_);
  broker_ = std::make_unique<BrokerSubject>(options.broker, certificates_folder_, folder + "/state", names);
  etcd_ = MakeEtcdSubject(certificates_folder_, folder + "/etcd", names);
  zeromq_ = MakeZeromqSubject(program, names);
  if (Wants("closing.notice")) closing_notices_ = std::make_unique<ClosingNotices>(OwnBroker("closing"));
  if (Wants("fairness")) greedy_neighbour_ = std::make_unique<GreedyNeighbour>(OwnBroker("fairness"));
}

ControlSuite::~ControlSuite() = default;

absl::Status ControlSuite::Run() {
  RoundSettings settings = options_.round;
  for (settings.round = 0; settings.round < options_.rounds; ++settings.round) {
    if (absl::Status status = RunRound(settings); !status.ok()) return status;
  }
  return RunOnce();
}

std::vector<Figure> ControlSuite::Figures() const {
  std::vector<Figure> figures = recorder_.Figures("echo");
  AddBounds(figures);
  return figures;
}

bool ControlSuite::Wants(const std::string& bench) const {
  return std::regex_search(bench, std::regex(options_.only, std::regex::extended));
}

BrokerProcess::Options ControlSuite::OwnBroker(const std::string& name) const {
  return {.program = options_.broker,
          .certificates_folder = certificates_folder_,
          .state_folder = absl::StrCat(folder_, "/", name)};
}

std::vector<DirectorySubject*> ControlSuite::Subjects() const {
  std::vector<DirectorySubject*> subjects = {echo_.get(), broker_.get(), zeromq_.get()};
  if (etcd_ != nullptr) subjects.push_back(etcd_.get());
  return subjects;
}

absl::Status ControlSuite::RunRound(const RoundSettings& settings) {
  absl::Status status = absl::OkStatus();
  for (DirectorySubject* const subject : Subjects()) {
    if (Wants("discover.cold")) status.Update(MeasureLookups(*subject, settings, recorder_));
  }
  for (DirectorySubject* const subject : Subjects()) {
    if (Wants("discover.batch64") && subject->HasBatches())
      status.Update(MeasureBatches(*subject, settings, recorder_));
  }
  if (Wants("discover.warm"))
    status.Update(MeasureWarmLookups(broker_->target(), certificates_folder_, settings, recorder_));
  status.Update(RunWrites(settings));
  if (Wants("heartbeat.10k")) status.Update(MeasureHeartbeats(*broker_, settings, recorder_));
  status.Update(RunWatchers(settings));
  if (greedy_neighbour_ != nullptr) status.Update(greedy_neighbour_->Measure(settings, recorder_));
  if (Wants("discover.idle"))
    status.Update(MeasureIdle({echo_.get(), broker_.get()}, options_.idle_calls, settings, recorder_));
  return status;
}

absl::Status ControlSuite::RunWrites(const RoundSettings& settings) {
  absl::Status status = absl::OkStatus();
  if (Wants("register.durable")) status.Update(MeasureSync(folder_, settings, recorder_));
  for (DirectorySubject* const subject : Subjects()) {
    if (Wants("register.durable") && subject->CanPut())
      status.Update(MeasureWrites(*subject, settings, recorder_));
  }
  for (DirectorySubject* const subject : Subjects()) {
    if (Wants("register.durable64") && subject->MayBeCalledAtOnce())
      status.Update(MeasureWritesAtOnce(*subject, settings, recorder_));
  }
  return status;
}

absl::Status ControlSuite::RunWatchers(const RoundSettings& settings) {
  absl::Status status = absl::OkStatus();
  for (DirectorySubject* const subject : Subjects()) {
    if (Wants("watch.1000")) status.Update(MeasureWatching(*subject, settings, recorder_));
  }
  if (closing_notices_ != nullptr) status.Update(closing_notices_->Measure(settings, recorder_));
  return status;
}

absl::Status ControlSuite::RunOnce() {
  if (Wants("memory.channel")) {
    recorder_.Add("memory.channel", "pylabhub", "bytes",
                  broker_->bytes_for_channels() / options_.round.names);
  }
  absl::Status status = absl::OkStatus();
  if (Wants("memory.connection")) status.Update(MeasureIdleConnections(OwnBroker("connections"), recorder_));
  if (Wants("restart.100k")) status.Update(MeasureRestart(OwnBroker("restart"), recorder_));
  if (Wants("storm.1000")) status.Update(MeasureStorm(OwnBroker("storm"), recorder_));
  return status;
}

}  // namespace pylabhub::bench
