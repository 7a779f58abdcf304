// A host's clock that a test sets, for one program: see tests/support/stepped_clock.cc.
#ifndef PYLABHUB_TESTS_SUPPORT_SETTABLE_CLOCK_H_
#define PYLABHUB_TESTS_SUPPORT_SETTABLE_CLOCK_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

namespace pylabhub::testing {

class SettableClock {
 public:
  // How far the clock is from the host's lies in `file`. Programs that are started from now on with LD_PRELOAD read it.
  explicit SettableClock(const std::string& file);
  ~SettableClock();
  SettableClock(const SettableClock&) = delete;
  SettableClock& operator=(const SettableClock&) = delete;

  void Set(std::chrono::nanoseconds step) { step_->store(step.count()); }

 private:
  std::atomic<int64_t>* step_ = nullptr;
};

// The library to be loaded first, from the folder that tests run in.
inline constexpr char kSteppedClock[] = "tests/support/libstepped_clock.so";

// Starts this very program again, from `arguments` as main got them, with a clock that it may set itself; returns in that one.
SettableClock& RestartWithSettableClock(char** arguments);

}  // namespace pylabhub::testing

#endif  // PYLABHUB_TESTS_SUPPORT_SETTABLE_CLOCK_H_
