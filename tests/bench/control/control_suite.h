// All subjects of the control suite, and the rounds in which they take turns.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tests/bench/control/broker_process.h"
#include "tests/bench/control/broker_subject.h"
#include "tests/bench/control/closing_notices.h"
#include "tests/bench/control/greedy_neighbour.h"
#include "tests/bench/control/recorder.h"
#include "tests/bench/control/round_settings.h"
#include "tests/bench/control/subject.h"

namespace pylabhub::bench {

struct SuiteOptions {
  std::string broker;  // the program
  std::string only;    // a regular expression that is found in a bench's name
  int rounds = 9;
  int idle_calls = 4;  // in each round
  RoundSettings round;
};

// Thread safety: thread-compatible.
class ControlSuite {
 public:
  // Starts the subjects, with what they keep in `folder`; `program` is this one. A failure ends it.
  ControlSuite(const SuiteOptions& options, const std::string& folder, const std::string& program);
  ~ControlSuite();

  // Everything in rounds but what takes long, which is measured once, at the end.
  absl::Status Run();

  std::vector<Figure> Figures() const;

 private:
  bool Wants(const std::string& bench) const;
  // Of a broker of its own.
  BrokerProcess::Options OwnBroker(const std::string& name) const;
  std::vector<DirectorySubject*> Subjects() const;
  absl::Status RunRound(const RoundSettings& settings);
  absl::Status RunWrites(const RoundSettings& settings);
  absl::Status RunWatchers(const RoundSettings& settings);
  absl::Status RunOnce();

  const SuiteOptions options_;
  const std::string folder_;
  const std::string certificates_folder_;
  std::unique_ptr<DirectorySubject> echo_;
  std::unique_ptr<BrokerSubject> broker_;
  std::unique_ptr<DirectorySubject> etcd_;  // null: it is not here
  std::unique_ptr<DirectorySubject> zeromq_;
  std::unique_ptr<ClosingNotices> closing_notices_;    // null: not wanted
  std::unique_ptr<GreedyNeighbour> greedy_neighbour_;  // likewise
  Recorder recorder_;
};

}  // namespace pylabhub::bench
