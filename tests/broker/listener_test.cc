#include "broker/listener.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "proto/handover/descriptor.h"
#include "tests/support/temp_folder.h"

namespace pylabhub::broker {
namespace {

using handover::Descriptor;
using ::testing::HasSubstr;
using testing::TempFolder;

Descriptor ConnectUnix(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  Descriptor client(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) client.Close();
  return client;
}

Descriptor ConnectTcp(int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  Descriptor client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) client.Close();
  return client;
}

// Whether the other side closed the connection; waits for it, or for a byte.
bool IsClosedByPeer(const Descriptor& client) {
  char byte = 0;
  return recv(client.get(), &byte, 1, 0) <= 0;
}

// Keeps the connections that a listener hands over, and greets each with one byte.
class Reception {
 public:
  Listener::Take take() {
    return [this](int, int descriptor) {
      send(descriptor, "!", 1, MSG_NOSIGNAL);
      absl::MutexLock lock(&mutex_);
      taken_.emplace_back(descriptor);
    };
  }
  void CloseAll() {
    absl::MutexLock lock(&mutex_);
    taken_.clear();
  }

 private:
  absl::Mutex mutex_;
  std::vector<Descriptor> taken_;
};

std::unique_ptr<Listener> Bound(ListenerOptions options, Metrics& metrics) {
  auto listener = Listener::Bind(std::move(options), metrics);
  EXPECT_TRUE(listener.ok()) << listener.status();
  return listener.ok() ? *std::move(listener) : nullptr;
}

TEST(ListenerTest, TcpAndUnixConnectionsAreHandedOver) {
  const TempFolder folder("/tmp");
  Metrics metrics;
  Reception reception;
  const auto listener = Bound({.unix_socket = folder / "socket"}, metrics);
  // Before Start they wait.
  const Descriptor tcp = ConnectTcp(listener->port());
  const Descriptor local = ConnectUnix(folder / "socket");
  listener->Start(reception.take());
  EXPECT_FALSE(IsClosedByPeer(tcp));
  EXPECT_FALSE(IsClosedByPeer(local));
  EXPECT_THAT(metrics.Text(), HasSubstr("pylabhub_broker_connections 2\n"));
  EXPECT_THAT(metrics.Text(), HasSubstr("pylabhub_broker_connections_accepted_total 2\n"));
}

TEST(ListenerTest, APeerBeyondItsCapIsRefusedAtOnceAndComesInWhenItHasClosedOne) {
  Metrics metrics;
  Reception reception;
  const auto listener = Bound({.caps = {.max_connections_per_peer = 2}}, metrics);
  listener->Start(reception.take());
  const Descriptor one = ConnectTcp(listener->port());
  const Descriptor two = ConnectTcp(listener->port());
  EXPECT_FALSE(IsClosedByPeer(one));
  EXPECT_FALSE(IsClosedByPeer(two));
  EXPECT_TRUE(IsClosedByPeer(ConnectTcp(listener->port())));
  EXPECT_THAT(metrics.Text(),
              HasSubstr("pylabhub_broker_connections_refused_total{reason=\"too_many_of_peer\"} 1\n"));
  reception.CloseAll();
  EXPECT_FALSE(IsClosedByPeer(ConnectTcp(listener->port())));
}

TEST(ListenerTest, UnixAndTcpPeersAreCountedApart) {
  const TempFolder folder("/tmp");
  Metrics metrics;
  Reception reception;
  const auto listener =
      Bound({.unix_socket = folder / "socket", .caps = {.max_connections_per_peer = 1}}, metrics);
  listener->Start(reception.take());
  const Descriptor tcp = ConnectTcp(listener->port());
  const Descriptor local = ConnectUnix(folder / "socket");
  EXPECT_FALSE(IsClosedByPeer(tcp));
  EXPECT_FALSE(IsClosedByPeer(local));
  EXPECT_TRUE(IsClosedByPeer(ConnectUnix(folder / "socket")));
}

TEST(ListenerTest, RefusalsAreLoggedAtMostOnceASecond) {
  Metrics metrics;
  Reception reception;
  absl::Mutex mutex;
  std::vector<LogRecord> records;
  ListenerOptions options = {.caps = {.max_connections = 1}};
  options.log = [&](const LogRecord& record) {
    absl::MutexLock lock(&mutex);
    records.push_back(record);
  };
  const absl::Time start_time = absl::Now();
  const auto listener = Bound(options, metrics);
  listener->Start(reception.take());
  const Descriptor kept = ConnectTcp(listener->port());
  EXPECT_FALSE(IsClosedByPeer(kept));
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(IsClosedByPeer(ConnectTcp(listener->port())));
  listener->Stop();
  ASSERT_FALSE(records.empty());
  EXPECT_LE(records.size(), 1 + (absl::Now() - start_time) / absl::Seconds(1));
  EXPECT_EQ(records[0].event, "too_many_connections");
  EXPECT_THAT(records[0].fields, ::testing::Contains(::testing::Pair("last_peer", "127.0.0.1")));
}

TEST(ListenerTest, NobodyGetsInAfterStopAndTheSocketsFilesAreGone) {
  const TempFolder folder("/tmp");
  Metrics metrics;
  Reception reception;
  const auto listener = Bound({.unix_socket = folder / "socket"}, metrics);
  listener->Start(reception.take());
  listener->Stop();
  listener->Stop();
  EXPECT_FALSE(ConnectTcp(listener->port()).is_open());
  EXPECT_FALSE(ConnectUnix(folder / "socket").is_open());
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(UnixListeningSocketTest, TheModeIsTheOneAskedFor) {
  const TempFolder folder("/tmp");
  const auto socket = UnixListeningSocket::Listen(folder / "socket", 0620);
  ASSERT_TRUE(socket.ok()) << socket.status();
  struct stat status = {};
  ASSERT_EQ(stat((folder / "socket").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0620u);
}

TEST(UnixListeningSocketTest, ASocketThatAKilledBrokerLeftIsReplaced) {
  const TempFolder folder("/tmp");
  {
    // Bound and closed, but not removed: as SIGKILL leaves it.
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    const std::string path = folder / "socket";
    std::memcpy(address.sun_path, path.data(), path.size());
    const Descriptor killed(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(bind(killed.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    std::ofstream(path + ".lock").put('x');
  }
  ASSERT_FALSE(ConnectUnix(folder / "socket").is_open());
  const auto socket = UnixListeningSocket::Listen(folder / "socket", 0600);
  ASSERT_TRUE(socket.ok()) << socket.status();
  EXPECT_TRUE(ConnectUnix(folder / "socket").is_open());
}

TEST(UnixListeningSocketTest, ASocketOnWhichSomebodyListensIsLeftAlone) {
  const TempFolder folder("/tmp");
  auto first = UnixListeningSocket::Listen(folder / "socket", 0600);
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = UnixListeningSocket::Listen(folder / "socket", 0600);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("another process listens there"));
  // Also one that knows nothing of the lock.
  std::filesystem::rename(folder / "socket.lock", folder / "elsewhere");
  EXPECT_EQ(UnixListeningSocket::Listen(folder / "socket", 0600).status().code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(ConnectUnix(folder / "socket").is_open());
}

TEST(UnixListeningSocketTest, WhatCannotBeMadeIsNamedWithItsReason) {
  const TempFolder folder("/tmp");
  std::ofstream(folder / "file").put('x');
  const auto message = [](const std::string& path) {
    return std::string(UnixListeningSocket::Listen(path, 0600).status().message());
  };
  EXPECT_THAT(message(folder / "file"), HasSubstr("what stands there is no socket"));
  EXPECT_TRUE(std::filesystem::exists(folder / "file"));
  EXPECT_THAT(message(folder / "no/such/folder"), HasSubstr("No such file or directory"));
  EXPECT_THAT(message(std::string(108, 'x')), HasSubstr("not 1 to 107 bytes long"));
  EXPECT_THAT(message(""), HasSubstr("not 1 to 107 bytes long"));
}

TEST(ListenOnTcpTest, APortThatIsTakenIsSaidToBe) {
  const auto first = ListenOnTcp("127.0.0.1", 0);
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = ListenOnTcp("127.0.0.1", first->port);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(absl::StrCat("127.0.0.1:", first->port)));
}

TEST(ListenOnTcpTest, AllAddressesTakeIpv4AndIpv6) {
  const auto all = ListenOnTcp("::", 0);
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_TRUE(ConnectTcp(all->port).is_open());
}

}  // namespace
}  // namespace pylabhub::broker
