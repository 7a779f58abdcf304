#include "broker/handover/hand_over_desk.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "broker/refusal.h"
#include "tests/broker/handover/bundle.h"

namespace pylabhub::broker {
namespace {

constexpr char kChannel[] = "camera";
constexpr char kAnn[] = "session-of-ann";
constexpr absl::Duration kTicketTtl = absl::Seconds(10);

class HandOverDeskTest : public ::testing::Test {
 protected:
  HandOverDeskTest() { desk_.OnEvents({{.kind = EventKind::kChannelPending, .channel = channel_}}); }

  static ChannelView NewChannel() {
    auto spec = std::make_shared<ChannelSpec>();
    spec->name = kChannel;
    spec->segment_id = std::string(16, 's');
    spec->shared_memory.kind = MemoryKind::kHandedOver;
    return {.spec = spec, .epoch = 1, .revision = 1, .producer_identity = "producer"};
  }

  std::string Ask(const v1::HandOverRequest& request, std::vector<handover::Descriptor> descriptors = {}) {
    const HandOverDesk::Reply reply =
        desk_.Answer(request, std::move(descriptors), {.pid = 1, .uid = 0}, pending_);
    if (reply.message.status().code() == 0) return "OK";
    return reply.message.status().message();
  }
  std::string Deposit(uint32_t parts) {
    testing::Bundle bundle =
        testing::Whole(desk_.ForProducer("session-of-producer", channel_).ticket(), parts);
    return Ask(bundle.request, std::move(bundle.descriptors));
  }
  v1::HandOverRequest AnnsRequest() {
    v1::HandOverRequest request;
    request.mutable_collect()->set_ticket(desk_.ForConsumer(kAnn, "", channel_).ticket());
    return request;
  }
  void TellThatAnnLeft(uint64_t revision) {
    ChannelView then = channel_;
    then.revision = revision;
    desk_.OnEvents({{.kind = EventKind::kConsumerLeft,
                     .channel = then,
                     .consumer = std::make_shared<ConsumerView>(),
                     .leave_reason = LeaveReason::kRevoked,
                     .consumer_session_id = kAnn}});
  }
  bool HasTasks() { return !desk_.TasksOf("session-of-producer", {channel_}).empty(); }

  ChannelView channel_ = NewChannel();
  absl::Time now_ = absl::UnixEpoch();
  Metrics metrics_;
  HandOverDesk desk_{{.socket_path = "/s",
                      .ticket_ttl = kTicketTtl,
                      .find = [this](const TicketScope&) { return Holding{.channel = channel_}; },
                      .now = [this] { return now_; }},
                     metrics_};
  PendingDeposit pending_;
};

TEST_F(HandOverDeskTest, ATicketIsGoodUntilTheInstantAtWhichItEnds) {
  ASSERT_EQ(Deposit(2), "OK");
  const v1::HandOverRequest request = AnnsRequest();
  now_ += kTicketTtl - absl::Nanoseconds(1);
  EXPECT_EQ(Ask(request), "OK");
  const v1::HandOverRequest late = AnnsRequest();
  now_ += kTicketTtl;
  EXPECT_NE(Ask(late), "OK");
}

TEST_F(HandOverDeskTest, ALeavingThatIsToldLateTakesNothingFromWhoCameBack) {
  ASSERT_EQ(Deposit(2), "OK");
  channel_.revision = 12;
  ASSERT_EQ(Ask(AnnsRequest()), "OK");
  TellThatAnnLeft(10);
  EXPECT_FALSE(HasTasks());
  TellThatAnnLeft(13);
  EXPECT_TRUE(HasTasks());
}

}  // namespace
}  // namespace pylabhub::broker
