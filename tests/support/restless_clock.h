// A host's clock that is set again and again, by an hour, for as long as this lives.
#ifndef PYLABHUB_TESTS_SUPPORT_RESTLESS_CLOCK_H_
#define PYLABHUB_TESTS_SUPPORT_RESTLESS_CLOCK_H_

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "tests/support/settable_clock.h"

namespace pylabhub::testing {

class RestlessClock {
 public:
  explicit RestlessClock(SettableClock& clock)
      : clock_(clock), thread_([this] {
          while (!stops_) {
            for (const int hours : {1, -1, 0}) {
              clock_.Set(std::chrono::hours(hours));
              std::this_thread::yield();
            }
          }
        }) {}
  ~RestlessClock() {
    stops_ = true;
    thread_.join();
    clock_.Set({});
  }
  RestlessClock(const RestlessClock&) = delete;
  RestlessClock& operator=(const RestlessClock&) = delete;

 private:
  SettableClock& clock_;
  std::atomic<bool> stops_ = false;
  std::thread thread_;
};

// For how long `act` goes on by the steady clock, on a host whose clock is restless.
template <typename Act>
std::chrono::nanoseconds TimeOnARestlessClock(SettableClock& clock, Act act) {
  const RestlessClock restless(clock);
  const auto start = std::chrono::steady_clock::now();
  act();
  return std::chrono::steady_clock::now() - start;
}

// Expects that `wait`, which gives up after `timeout`, does so on a host whose clock is restless: neither sooner nor much later.
template <typename Wait>
void ExpectToLast(SettableClock& clock, std::chrono::milliseconds timeout, Wait wait) {
  constexpr std::chrono::seconds kPatience(20);  // much less than the hour by which the clock is set
  const std::chrono::nanoseconds time = TimeOnARestlessClock(clock, wait);
  EXPECT_GE(time.count(), std::chrono::nanoseconds(timeout).count());
  EXPECT_LT(time.count(), std::chrono::nanoseconds(timeout + kPatience).count());
}

}  // namespace pylabhub::testing

#endif  // PYLABHUB_TESTS_SUPPORT_RESTLESS_CLOCK_H_
