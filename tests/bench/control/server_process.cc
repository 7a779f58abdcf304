#include "tests/bench/control/server_process.h"

#include <time.h>

#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"

namespace pylabhub::bench {

double ServerProcess::ProcessorSeconds() const {
  clockid_t clock = 0;
  timespec used{};
  if (clock_getcpuclockid(program_.pid(), &clock) != 0 || clock_gettime(clock, &used) != 0) return 0;
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9;
}

double ServerProcess::PrivateBytes() const {
  std::ifstream rollup(absl::StrCat("/proc/", program_.pid(), "/smaps_rollup"));
  double kilobytes = 0;
  for (std::string line; std::getline(rollup, line);) {
    std::istringstream fields(line);
    std::string name;
    double value = 0;
    fields >> name >> value;
    if (name == "Private_Dirty:" || name == "Private_Clean:") kilobytes += value;
  }
  return kilobytes * 1024;
}

}  // namespace pylabhub::bench
