#include "tests/support/settable_clock.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>
#include <fstream>

namespace pylabhub::testing {
namespace {

constexpr char kFileVariable[] = "PYLABHUB_CLOCK_STEP";

}  // namespace

SettableClock::SettableClock(const std::string& file) {
  std::ofstream(file, std::ios::binary) << std::string(sizeof(int64_t), '\0');
  const int descriptor = open(file.c_str(), O_RDWR | O_CLOEXEC);
  void* mapped = mmap(nullptr, sizeof(int64_t), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  close(descriptor);
  if (mapped == MAP_FAILED) std::abort();
  step_ = static_cast<std::atomic<int64_t>*>(mapped);
  setenv(kFileVariable, file.c_str(), 1);
}

SettableClock::~SettableClock() { munmap(step_, sizeof(int64_t)); }

SettableClock& RestartWithSettableClock(char** arguments) {
  if (const char* file = getenv(kFileVariable); file != nullptr) {
    static SettableClock clock(file);
    // From now on it has been read, and nobody needs its name.
    std::time(nullptr);
    unlink(file);
    return clock;
  }
  const char* folder = getenv("TEST_TMPDIR");
  const SettableClock created((folder == nullptr ? std::string("/tmp") : std::string(folder)) +
                              "/clock_step." + std::to_string(getpid()));
  setenv("LD_PRELOAD", kSteppedClock, 1);
  execv("/proc/self/exe", arguments);
  std::abort();
}

}  // namespace pylabhub::testing
