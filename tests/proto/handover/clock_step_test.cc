// Packets on a host whose clock is set: they are waited for as long as was said.
#include <gtest/gtest.h>

#include <string>

#include "absl/time/time.h"
#include "proto/handover/packet.h"
#include "tests/support/restless_clock.h"
#include "tests/support/settable_clock.h"
#include "tests/support/socket_pair.h"

namespace pylabhub::handover {
namespace {

using ::pylabhub::testing::SettableClock;
using ::pylabhub::testing::SocketPair;

constexpr absl::Duration kTimeout = absl::Milliseconds(100);

SettableClock* clock_of_this_host = nullptr;

template <typename Wait>
void ExpectToLast(Wait wait) {
  pylabhub::testing::ExpectToLast(*clock_of_this_host, absl::ToChronoMilliseconds(kTimeout), wait);
}

TEST(ClockStepTest, APacketIsWaitedForUntilItsDeadline) {
  const SocketPair sockets;
  ExpectToLast([&] {
    EXPECT_TRUE(absl::IsDeadlineExceeded(Receive(sockets.second(), SteadyNow() + kTimeout).status()));
  });
}

TEST(ClockStepTest, RoomForAPacketIsWaitedForUntilItsDeadline) {
  const SocketPair sockets;
  const std::string bytes(kMaxPacketBytes, 'x');
  while (*TrySend(sockets.first(), bytes, {})) {
  }
  ExpectToLast([&] {
    EXPECT_TRUE(absl::IsDeadlineExceeded(Send(sockets.first(), bytes, {}, SteadyNow() + kTimeout)));
  });
}

}  // namespace
}  // namespace pylabhub::handover

int main(int argc, char** argv) {
  pylabhub::handover::clock_of_this_host = &pylabhub::testing::RestartWithSettableClock(argv);
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
