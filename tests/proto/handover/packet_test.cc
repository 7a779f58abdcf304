#include "proto/handover/packet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/socket_pair.h"

namespace pylabhub::handover {
namespace {

using testing::SocketPair;

absl::Time Soon() { return SteadyNow() + absl::Seconds(10); }

size_t OpenDescriptors() {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
    count += entry.exists() ? 1 : 0;
  return count;
}

TEST(HandOverPacketTest, BytesAndDescriptorsArriveTogetherAndCloseOnExec) {
  const SocketPair sockets;
  const Descriptor memory(memfd_create("packet_test", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(memory.get(), 4096), 0);
  const int sent[] = {memory.get(), memory.get()};
  ASSERT_TRUE(Send(sockets.first(), "hello", sent, Soon()).ok());

  const absl::StatusOr<Packet> packet = Receive(sockets.second(), Soon());
  ASSERT_TRUE(packet.ok()) << packet.status();
  EXPECT_EQ(packet->bytes, "hello");
  ASSERT_EQ(packet->descriptors.size(), 2u);
  EXPECT_EQ(lseek(packet->descriptors[1].get(), 0, SEEK_END), 4096);
  EXPECT_EQ(fcntl(packet->descriptors[0].get(), F_GETFD), FD_CLOEXEC);
}

TEST(HandOverPacketTest, AsManyDescriptorsAsAPacketMayHaveArrive) {
  const SocketPair sockets;
  const std::vector<int> most(kMaxPacketDescriptors, sockets.first());
  ASSERT_TRUE(Send(sockets.first(), "x", most, Soon()).ok());
  const absl::StatusOr<Packet> packet = Receive(sockets.second(), Soon());
  ASSERT_TRUE(packet.ok()) << packet.status();
  EXPECT_EQ(packet->descriptors.size(), kMaxPacketDescriptors);

  const std::vector<int> too_many(kMaxPacketDescriptors + 1, sockets.first());
  EXPECT_EQ(Send(sockets.first(), "x", too_many, Soon()).code(), absl::StatusCode::kInvalidArgument);
}

TEST(HandOverPacketTest, WhatDoesNotFitIntoTheDescriptorTableIsRefusedAndNothingLeaks) {
  const SocketPair sockets;
  const std::vector<int> many(100, sockets.first());
  ASSERT_TRUE(Send(sockets.first(), "x", many, Soon()).ok());
  ASSERT_TRUE(Send(sockets.first(), "next", {}, Soon()).ok());
  const size_t open_before = OpenDescriptors();
  rlimit limit = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  rlimit low = limit;
  low.rlim_cur = static_cast<rlim_t>(open_before) + 20;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  const absl::StatusOr<Packet> packet = Receive(sockets.second(), Soon());
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);

  EXPECT_EQ(packet.status().code(), absl::StatusCode::kResourceExhausted) << packet.status();
  EXPECT_EQ(OpenDescriptors(), open_before);
  EXPECT_EQ(Receive(sockets.second(), Soon())->bytes, "next");
}

TEST(HandOverPacketTest, APacketThatIsTooLongIsRefusedWithItsDescriptorsClosed) {
  const SocketPair sockets;
  const size_t open_before = OpenDescriptors();
  const std::string long_one(kMaxPacketBytes + 1, 'x');
  EXPECT_EQ(Send(sockets.first(), long_one, {}, Soon()).code(), absl::StatusCode::kInvalidArgument);
  // A sender that keeps to no rule.
  iovec part = {const_cast<char*>(long_one.data()), long_one.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  cmsghdr* rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(int));
  const int passed = sockets.first();
  std::copy_n(reinterpret_cast<const char*>(&passed), sizeof(passed),
              reinterpret_cast<char*>(CMSG_DATA(rights)));
  ASSERT_GT(sendmsg(sockets.first(), &message, 0), 0);

  EXPECT_EQ(Receive(sockets.second(), Soon()).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(OpenDescriptors(), open_before);
}

TEST(HandOverPacketTest, WhoDoesNotAnswerIsWaitedForUntilTheDeadlineAlone) {
  SocketPair sockets;
  EXPECT_EQ(Receive(sockets.second(), SteadyNow() + absl::Milliseconds(5)).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_FALSE(TryReceive(sockets.second())->has_value());
  sockets.CloseFirst();
  EXPECT_EQ(Receive(sockets.second(), Soon()).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Send(sockets.second(), "x", {}, Soon()).code(), absl::StatusCode::kUnavailable);
}

TEST(HandOverPacketTest, TheKernelSaysWhoIsAtTheOtherEnd) {
  const SocketPair sockets;
  const absl::StatusOr<PeerCredentials> peer = PeerCredentialsOf(sockets.first());
  ASSERT_TRUE(peer.ok()) << peer.status();
  EXPECT_EQ(*peer, (PeerCredentials{.pid = getpid(), .uid = getuid(), .gid = getgid()}));
}

TEST(HandOverPacketTest, ASocketThatIsNotThereIsSaidToBeNone) {
  EXPECT_EQ(Connect("/nowhere/at/all.sock", Soon()).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Connect("", Soon()).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Connect(std::string(108, 'p'), Soon()).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace pylabhub::handover
