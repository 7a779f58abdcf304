// A server under measurement, as a process of its own, so that its time and memory can be told from the client's.
#pragma once

#include <string>
#include <vector>

#include "tests/support/program.h"

namespace pylabhub::bench {

// Ownership: kills the process in the destructor.
class ServerProcess {
 public:
  // `command[0]` is the program's path.
  explicit ServerProcess(const std::vector<std::string>& command) : program_(command) {}

  // The next line of its output, without its end; waits for it. Empty if it has ended.
  std::string ReadLine() { return program_.ReadLine(); }
  // Its standard error so far.
  std::string errors() const { return program_.errors(); }

  // Processor time that all its threads have used so far, in seconds.
  double ProcessorSeconds() const;
  // Memory that it uses now and shares with nobody, in bytes.
  double PrivateBytes() const;

 private:
  testing::Program program_;
};

}  // namespace pylabhub::bench
