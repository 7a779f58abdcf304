#include "broker/connection_ledger.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "proto/handover/descriptor.h"

namespace pylabhub::broker {
namespace {

using Verdict = ConnectionLedger::Verdict;

handover::Descriptor NewSocket() {
  return handover::Descriptor(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

TEST(ConnectionLedgerTest, APeerHasAsManyConnectionsAsItMayAndAnotherPeerAsManyAgain) {
  ConnectionLedger ledger({.max_connections = 4, .max_connections_per_peer = 2});
  handover::Descriptor sockets[6];
  for (handover::Descriptor& socket : sockets) socket = NewSocket();
  EXPECT_EQ(ledger.Admit(sockets[0].get(), "a"), Verdict::kAdmitted);
  EXPECT_EQ(ledger.Admit(sockets[1].get(), "a"), Verdict::kAdmitted);
  EXPECT_EQ(ledger.Admit(sockets[2].get(), "a"), Verdict::kTooManyOfPeer);
  EXPECT_EQ(ledger.Admit(sockets[3].get(), "b"), Verdict::kAdmitted);
  EXPECT_EQ(ledger.Admit(sockets[4].get(), "c"), Verdict::kAdmitted);
  EXPECT_EQ(ledger.Admit(sockets[5].get(), "d"), Verdict::kTooMany);
  EXPECT_EQ(ledger.CountOpen(), 4u);
}

TEST(ConnectionLedgerTest, AClosedConnectionMakesRoomThoughNobodySaysThatItClosed) {
  ConnectionLedger ledger({.max_connections = 2, .max_connections_per_peer = 2});
  handover::Descriptor one = NewSocket();
  handover::Descriptor two = NewSocket();
  handover::Descriptor three = NewSocket();
  ASSERT_EQ(ledger.Admit(one.get(), "a"), Verdict::kAdmitted);
  ASSERT_EQ(ledger.Admit(two.get(), "a"), Verdict::kAdmitted);
  ASSERT_EQ(ledger.Admit(three.get(), "a"), Verdict::kTooMany);
  two.Close();
  EXPECT_EQ(ledger.CountOpen(), 1u);
  EXPECT_EQ(ledger.Admit(three.get(), "a"), Verdict::kAdmitted);
}

TEST(ConnectionLedgerTest, ADescriptorThatWasGivenOutAgainIsNotTakenForTheOldConnection) {
  ConnectionLedger ledger({.max_connections = 8, .max_connections_per_peer = 1});
  handover::Descriptor first = NewSocket();
  const int number = first.get();
  ASSERT_EQ(ledger.Admit(number, "a"), Verdict::kAdmitted);
  first.Close();
  // The same number, another socket, and then no socket at all.
  handover::Descriptor second = NewSocket();
  ASSERT_EQ(second.get(), number);
  EXPECT_EQ(ledger.CountOpen(), 0u);
  EXPECT_EQ(ledger.Admit(number, "b"), Verdict::kAdmitted);
  second.Close();
  const handover::Descriptor file(open("/dev/null", O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(file.get(), number);
  EXPECT_EQ(ledger.CountOpen(), 0u);
}

TEST(ConnectionLedgerTest, ThePeerOfAUnixSocketIsItsUser) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const handover::Descriptor one(ends[0]);
  const handover::Descriptor other(ends[1]);
  EXPECT_EQ(PeerOf(one.get()), absl::StrCat("uid ", geteuid()));
  EXPECT_EQ(PeerOf(NewSocket().get()), "unknown");
}

}  // namespace
}  // namespace pylabhub::broker
