#include "broker/call_gate.h"

#include <gtest/gtest.h>

#include <atomic>
#include <optional>
#include <thread>

namespace pylabhub::broker {
namespace {

TEST(CallGateTest, AClosedGateAdmitsNobody) {
  CallGate gate;
  EXPECT_TRUE(CallGate::Pass(gate).admitted());
  gate.Close(absl::Hours(1));
  EXPECT_FALSE(CallGate::Pass(gate).admitted());
}

TEST(CallGateTest, ClosingWaitsForTheLastCallInside) {
  CallGate gate;
  auto call = std::make_optional<CallGate::Pass>(gate);
  std::atomic<bool> left = false;
  std::thread closer([&] {
    gate.Close(absl::Hours(1));
    EXPECT_TRUE(left);
  });
  // The gate is closed once it refuses; only then is the closer known to wait.
  while (CallGate::Pass(gate).admitted()) std::this_thread::yield();
  left = true;
  call.reset();
  closer.join();
}

TEST(CallGateTest, ClosingGivesUpOnACallThatStaysTooLong) {
  CallGate gate;
  const CallGate::Pass call(gate);
  gate.Close(absl::ZeroDuration());
  EXPECT_TRUE(call.admitted());
}

}  // namespace
}  // namespace pylabhub::broker
