#include "broker/handover/ticket_book.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "broker/refusal.h"

namespace pylabhub::broker {
namespace {

constexpr uid_t kAlice = 1000;
constexpr uid_t kMallory = 1001;
constexpr absl::Duration kTtl = absl::Seconds(10);

class TicketBookTest : public ::testing::Test {
 protected:
  std::string Verdict(const std::string& ticket, TicketPurpose purpose, uid_t uid) {
    const auto scope = book_.Check(ticket, purpose, uid, now_);
    return scope.ok() ? scope->channel : DetailsOf(scope.status())->reason;
  }

  absl::Time now_ = absl::UnixEpoch();
  int made_ = 0;
  TicketBook book_{kTtl, [this] { return absl::StrCat("ticket", ++made_); }};
  const TicketScope collect_ = {.purpose = TicketPurpose::kCollect,
                                .session_id = "s",
                                .channel = "camera",
                                .epoch = 3,
                                .consumer_id = "c"};
};

TEST_F(TicketBookTest, ATicketIsGoodUntilItIsUsedAndNotTwice) {
  const std::string ticket = book_.Issue(collect_, now_).bytes;
  EXPECT_EQ(Verdict(ticket, TicketPurpose::kCollect, kAlice), "camera");
  EXPECT_EQ(Verdict(ticket, TicketPurpose::kCollect, kAlice), "camera");
  book_.Use(ticket, kAlice);
  EXPECT_EQ(Verdict(ticket, TicketPurpose::kCollect, kAlice), "TICKET_INVALID");
  EXPECT_EQ(book_.size(), 0u);
}

TEST_F(TicketBookTest, ATicketEndsAtItsInstant) {
  const Ticket ticket = book_.Issue(collect_, now_);
  EXPECT_EQ(ticket.expire_time, now_ + kTtl);
  now_ += kTtl - absl::Nanoseconds(1);
  EXPECT_EQ(Verdict(ticket.bytes, TicketPurpose::kCollect, kAlice), "camera");
  now_ += absl::Nanoseconds(1);
  EXPECT_EQ(Verdict(ticket.bytes, TicketPurpose::kCollect, kAlice), "TICKET_INVALID");
  EXPECT_EQ(book_.size(), 0u);
}

TEST_F(TicketBookTest, ATicketIsForOnePurpose) {
  const std::string ticket = book_.Issue(collect_, now_).bytes;
  EXPECT_EQ(Verdict(ticket, TicketPurpose::kDeposit, kAlice), "TICKET_INVALID");
  EXPECT_EQ(Verdict(ticket, TicketPurpose::kCollect, kAlice), "camera");
  EXPECT_EQ(Verdict("guessed", TicketPurpose::kCollect, kAlice), "TICKET_INVALID");
  EXPECT_EQ(Verdict("", TicketPurpose::kCollect, kAlice), "TICKET_INVALID");
}

TEST_F(TicketBookTest, ASessionsTicketsAreOfTheUserThatUsedOneFirst) {
  book_.Use(book_.Issue(collect_, now_).bytes, kAlice);
  const std::string stolen = book_.Issue(collect_, now_).bytes;
  EXPECT_EQ(Verdict(stolen, TicketPurpose::kCollect, kMallory), "TICKET_INVALID");
  // It is void: somebody else has seen it.
  EXPECT_EQ(Verdict(stolen, TicketPurpose::kCollect, kAlice), "TICKET_INVALID");
  const std::string next = book_.Issue(collect_, now_).bytes;
  EXPECT_NE(next, stolen);
  EXPECT_EQ(Verdict(next, TicketPurpose::kCollect, kAlice), "camera");
}

TEST_F(TicketBookTest, AskingAgainGivesTheSameTicketWhileItIsFresh) {
  const std::string first = book_.Issue(collect_, now_).bytes;
  now_ += kTtl / 2;
  EXPECT_EQ(book_.Issue(collect_, now_).bytes, first);
  now_ += absl::Nanoseconds(1);
  const std::string second = book_.Issue(collect_, now_).bytes;
  EXPECT_NE(second, first);
  EXPECT_EQ(Verdict(first, TicketPurpose::kCollect, kAlice), "TICKET_INVALID");
  EXPECT_EQ(book_.size(), 1u);
  TicketScope other = collect_;
  other.epoch = 4;
  EXPECT_NE(book_.Issue(other, now_).bytes, second);
}

}  // namespace
}  // namespace pylabhub::broker
