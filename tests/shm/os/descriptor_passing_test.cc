// Parcels of descriptors, and everything else that may come over a socket.
#include "shm/os/descriptor_passing.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "shm/os/memfd.h"
#include "tests/support/child_process.h"
#include "tests/support/seed.h"
#include "tests/support/socket_pair.h"

namespace pylabhub::shm {
namespace {

using ::pylabhub::testing::ChildProcess;
using ::pylabhub::testing::SocketPair;
using ::testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Seconds(20);

UniqueFd Some() { return *CreateMemfd("pylabhub.descriptor_passing_test"); }

bool AreTheSame(int one, int other) {
  struct stat a = {};
  struct stat b = {};
  return fstat(one, &a) == 0 && fstat(other, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

size_t CountOpen() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<size_t>(std::distance(begin(all), end(all)));
}

// Sends `packet` and `descriptors` as they are.
void SendRaw(int socket, const std::string& packet, const std::vector<int>& descriptors) {
  iovec part = {const_cast<char*>(packet.data()), packet.size()};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  std::vector<cmsghdr> control(CMSG_SPACE(descriptors.size() * sizeof(int)) / sizeof(cmsghdr) + 1);
  if (!descriptors.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(descriptors.size() * sizeof(int));
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(descriptors.size() * sizeof(int));
    std::memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size() * sizeof(int));
  }
  ASSERT_EQ(sendmsg(socket, &message, 0), static_cast<ssize_t>(packet.size()));
}

std::string Packet(uint32_t descriptor_count, uint32_t note_bytes, const std::string& note,
                   const std::string& magic = "PLHPARC1") {
  std::string packet = magic;
  packet.append(reinterpret_cast<const char*>(&descriptor_count), sizeof(descriptor_count));
  packet.append(reinterpret_cast<const char*>(&note_bytes), sizeof(note_bytes));
  return packet + note;
}

TEST(DescriptorPassingTest, AnotherProcessGetsTheSameFilesAndTheNote) {
  SocketPair sockets;
  const UniqueFd sent[] = {Some(), Some()};
  ASSERT_EQ(ftruncate(sent[1].get(), 1234), 0);
  ChildProcess child([&](const ChildProcess::Line&) {
    const auto parcel = ReceiveParcel(sockets.second(), 2, kPatience);
    if (!parcel.ok() || parcel->note != "two files" || parcel->descriptors.size() != 2) return 1;
    struct stat stats = {};
    if (fstat(parcel->descriptors[1].get(), &stats) != 0 || stats.st_size != 1234) return 2;
    if ((fcntl(parcel->descriptors[0].get(), F_GETFD) & FD_CLOEXEC) == 0) return 3;
    return 0;
  });
  const int both[] = {sent[0].get(), sent[1].get()};
  ASSERT_TRUE(SendParcel(sockets.first(), both, "two files", kPatience).ok());
  EXPECT_EQ(child.Wait(), 0);
}

TEST(DescriptorPassingTest, ParcelsComeOneByOneInTheirOrder) {
  SocketPair sockets;
  const UniqueFd one = Some();
  const UniqueFd other = Some();
  for (const UniqueFd* fd : {&one, &other}) {
    const int raw = fd->get();
    ASSERT_TRUE(SendParcel(sockets.first(), {&raw, 1}, "", kPatience).ok());
  }
  for (const UniqueFd* fd : {&one, &other}) {
    const auto parcel = ReceiveParcel(sockets.second(), 1, kPatience);
    ASSERT_TRUE(parcel.ok()) << parcel.status();
    EXPECT_TRUE(AreTheSame(parcel->descriptors[0].get(), fd->get()));
    EXPECT_EQ(parcel->note, "");
  }
}

TEST(DescriptorPassingTest, TheLargestParcelPasses) {
  SocketPair sockets;
  const UniqueFd fd = Some();
  const std::vector<int> many(kMaxParcelDescriptors, fd.get());
  const std::string note(kMaxNoteBytes, 'n');
  ASSERT_TRUE(SendParcel(sockets.first(), many, note, kPatience).ok());
  const auto parcel = ReceiveParcel(sockets.second(), many.size(), kPatience);
  ASSERT_TRUE(parcel.ok()) << parcel.status();
  EXPECT_EQ(parcel->note, note);
}

TEST(DescriptorPassingTest, WhatCannotBeSentIsNot) {
  SocketPair sockets;
  const UniqueFd fd = Some();
  const std::vector<int> too_many(kMaxParcelDescriptors + 1, fd.get());
  EXPECT_TRUE(absl::IsInvalidArgument(SendParcel(sockets.first(), too_many, "", kPatience)));
  EXPECT_TRUE(absl::IsInvalidArgument(SendParcel(sockets.first(), {}, "", kPatience)));
  const int raw = fd.get();
  EXPECT_TRUE(absl::IsInvalidArgument(
      SendParcel(sockets.first(), {&raw, 1}, std::string(kMaxNoteBytes + 1, 'n'), kPatience)));
  const SocketPair stream(SOCK_STREAM);
  EXPECT_TRUE(absl::IsInvalidArgument(SendParcel(stream.first(), {&raw, 1}, "", kPatience)));
  EXPECT_TRUE(absl::IsInvalidArgument(ReceiveParcel(stream.second(), 1, kPatience).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(ReceiveParcel(fd.get(), 1, kPatience).status()));
}

TEST(DescriptorPassingTest, NobodyWaitsLongerThanItsTime) {
  SocketPair sockets;
  EXPECT_TRUE(absl::IsDeadlineExceeded(ReceiveParcel(sockets.second(), 1, absl::Milliseconds(2)).status()));
  const UniqueFd fd = Some();
  const int raw = fd.get();
  absl::Status status = absl::OkStatus();
  // A receiver that never receives: at last there is no room.
  while (status.ok()) status = SendParcel(sockets.first(), {&raw, 1}, "", absl::Milliseconds(2));
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
}

TEST(DescriptorPassingTest, AClosedSocketIsNamed) {
  SocketPair sockets;
  sockets.CloseFirst();
  EXPECT_TRUE(absl::IsUnavailable(ReceiveParcel(sockets.second(), 1, kPatience).status()));
  const UniqueFd fd = Some();
  const int raw = fd.get();
  EXPECT_TRUE(absl::IsUnavailable(SendParcel(sockets.second(), {&raw, 1}, "", kPatience)));
}

TEST(DescriptorPassingTest, WhatIsNotExactlyAParcelIsRefusedAndItsDescriptorsAreClosed) {
  SocketPair sockets;
  const UniqueFd fd = Some();
  const struct {
    std::string packet;
    size_t descriptors;
    std::string what;
  } hostile[] = {
      {"x", 2, "too short"},
      {Packet(2, 0, "", "PLHPARC2"), 2, "begins otherwise"},
      {Packet(2, 5, "note"), 2, "not as long as it says"},
      {Packet(2, UINT32_MAX, "note"), 2, "not as long as it says"},
      {Packet(2, 3, "note"), 2, "not as long as it says"},
      {Packet(2, 4, "note"), 1, "says 2 descriptors and has 1"},
      {Packet(2, 4, "note"), 3, "says 2 descriptors and has 3"},
      {Packet(2, 4, "note"), 0, "says 2 descriptors and has 0"},
      {Packet(3, 4, "note"), 3, "where 2 are expected"},
      {Packet(UINT32_MAX, 4, "note"), 2, "says 4294967295"},
      {Packet(2, 4, "note"), kMaxParcelDescriptors + 1, "more descriptors"},
      {Packet(2, 4, "note"), 253, "more descriptors"},
      {Packet(2, kMaxNoteBytes + 1, std::string(kMaxNoteBytes + 1, 'n')), 2, "too long"},
  };
  const size_t open_before = CountOpen();
  for (const auto& trick : hostile) {
    SendRaw(sockets.first(), trick.packet, std::vector<int>(trick.descriptors, fd.get()));
    const auto parcel = ReceiveParcel(sockets.second(), 2, kPatience);
    EXPECT_TRUE(absl::IsFailedPrecondition(parcel.status())) << parcel.status();
    EXPECT_THAT(std::string(parcel.status().message()), HasSubstr(trick.what));
    EXPECT_EQ(CountOpen(), open_before) << trick.what;
  }
  // And the socket still works.
  const int both[] = {fd.get(), fd.get()};
  ASSERT_TRUE(SendParcel(sockets.first(), both, "good", kPatience).ok());
  EXPECT_TRUE(ReceiveParcel(sockets.second(), 2, kPatience).ok());
}

TEST(DescriptorPassingTest, RandomPacketsAreRefused) {
  SocketPair sockets;
  const UniqueFd fd = Some();
  std::mt19937_64 random(testing::Seed());
  const size_t open_before = CountOpen();
  for (int i = 0; i < 2000; ++i) {
    std::string packet = Packet(static_cast<uint32_t>(random() % 4), static_cast<uint32_t>(random() % 40),
                                std::string(random() % 40, 'n'));
    if (random() % 2 == 0) packet[random() % packet.size()] = static_cast<char>(random());
    packet.resize(1 + random() % packet.size());
    SendRaw(sockets.first(), packet, std::vector<int>(random() % 4, fd.get()));
    const auto parcel = ReceiveParcel(sockets.second(), 2, kPatience);
    if (!parcel.ok()) continue;
    // One in a thousand is right by chance.
    EXPECT_EQ(packet.size(), 16 + parcel->note.size());
  }
  EXPECT_EQ(CountOpen(), open_before);
}

}  // namespace
}  // namespace pylabhub::shm
