// The hand-over as it is said on the wire, by clients of every kind: honest, clumsy, and hostile.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>
#include <vector>

#include "proto/handover/caller.h"
#include "proto/handover/packet.h"
#include "tests/broker/handover/bundle.h"
#include "tests/broker/handover/sealed_memory.h"
#include "tests/broker/wire_fixture.h"
#include "tests/support/child_process.h"
#include "tests/support/temp_folder.h"

namespace pylabhub::broker {
namespace {

using handover::Answer;
using handover::Descriptor;
using testing::Bundle;
using ::testing::ElementsAre;
using testing::kMemoryBytes;
using testing::kPartSeals;
using testing::SealedMemory;
using testing::Whole;

constexpr uid_t kNobody = 65534;

absl::Time Soon() { return handover::SteadyNow() + absl::Seconds(20); }

ino_t FileOf(const Descriptor& descriptor) {
  struct stat status = {};
  fstat(descriptor.get(), &status);
  return status.st_ino;
}

class HandOverWireTest : public WireTest {
 protected:
  HandOverWireTest() {
    chmod(folder_.path().c_str(), 0755);
    Start();
  }

  void Start() {
    options_.hand_over.socket = socket();
    options_.hand_over.mode = 0666;
    broker_.reset();
    broker_ = testing::StartTestBroker(*authority_, options_);
  }
  std::string socket() const { return folder_ / "s"; }
  WireClient ClientOf(const std::string& identity) const {
    return WireClient(testing::ConnectWith(broker_->target(), authority_->Client(identity)),
                      "session-of-" + identity);
  }

  // The ticket to deposit with.
  std::string RegisterHandedOver(WireClient& producer, const std::string& name, char segment = 's',
                                 const std::string& session = "session-of-producer") const {
    v1::RegisterRequest request;
    request.set_session_id(session);
    request.mutable_channel()->set_name(name);
    request.mutable_channel()->set_schema_hash(kWireHash);
    request.mutable_channel()->set_segment_id(std::string(16, segment));
    request.mutable_channel()->mutable_shared_memory()->set_kind(v1::SHARED_MEMORY_KIND_HANDED_OVER);
    const auto registered = producer.Register(request);
    EXPECT_EQ(ReasonOf(registered.status), "OK");
    EXPECT_EQ(registered.response.hand_over().socket_path(), socket());
    return registered.response.hand_over().ticket();
  }
  // The ticket to collect with.
  static std::string ConsumeHandedOver(WireClient& consumer, const std::string& session,
                                       const std::string& name, const std::string& id = "") {
    v1::ConsumerRegisterRequest request;
    request.set_session_id(session);
    request.set_channel_name(name);
    request.set_consumer_id(id);
    v1::ConsumerRegisterResponse response;
    EXPECT_EQ(ReasonOf(consumer.Call(&v1::Broker::Stub::ConsumerRegister, request, response)), "OK");
    return response.hand_over().ticket();
  }

  Answer Ask(const v1::HandOverRequest& request, const std::vector<int>& descriptors = {}) const {
    auto caller = handover::Caller::Connect(socket(), Soon());
    EXPECT_TRUE(caller.ok()) << caller.status();
    if (!caller.ok()) return {};
    absl::StatusOr<Answer> answer = caller->Ask(request, descriptors, Soon());
    EXPECT_TRUE(answer.ok()) << answer.status();
    return answer.ok() ? *std::move(answer) : Answer();
  }
  std::string Deposit(const Bundle& bundle) const { return Verdict(Ask(bundle.request, bundle.numbers())); }
  Answer Collect(const std::string& ticket) const {
    v1::HandOverRequest request;
    request.mutable_collect()->set_ticket(ticket);
    return Ask(request);
  }
  Answer Inherit(const std::string& ticket, uint32_t skip = 0) const {
    v1::HandOverRequest request;
    request.mutable_inherit()->set_ticket(ticket);
    request.mutable_inherit()->set_skip(skip);
    return Ask(request);
  }
  static std::string Verdict(const Answer& answer) {
    if (answer.message.status().code() == 0) return "OK";
    return DetailIn<google::rpc::ErrorInfo>(answer.message.status()).reason();
  }
  // A channel with that many parts, deposited and ready.
  std::string MakeDeposited(WireClient& producer, uint32_t parts) const {
    std::string name = FreshName();
    EXPECT_EQ(Deposit(Whole(RegisterHandedOver(producer, name), parts)), "OK");
    EXPECT_EQ(ReasonOf(producer.Heartbeat()), "OK");
    return name;
  }
  static v1::HandOverTask TaskOf(WireClient& producer) {
    v1::HeartbeatResponse response;
    EXPECT_EQ(ReasonOf(producer.Heartbeat(&response)), "OK");
    const v1::SessionStatus& session = response.sessions(0);
    return session.hand_over_tasks_size() == 0 ? v1::HandOverTask() : session.hand_over_tasks(0);
  }

  const testing::TempFolder folder_{"/tmp"};
  BrokerOptions options_;
  std::unique_ptr<EmbeddedBroker> broker_;
};

TEST_F(HandOverWireTest, EachConsumerGetsTheDataTheBellAndAPartOfItsOwn) {
  WireClient producer = ClientOf("producer");
  WireClient ann = ClientOf("ann");
  WireClient bob = ClientOf("bob");
  const std::string name = MakeDeposited(producer, 2);
  const Answer to_ann = Collect(ConsumeHandedOver(ann, "session-of-ann", name));
  const Answer to_bob = Collect(ConsumeHandedOver(bob, "session-of-bob", name));
  ASSERT_EQ(Verdict(to_ann), "OK");
  ASSERT_EQ(Verdict(to_bob), "OK");
  EXPECT_EQ(to_ann.message.collected().segment_id(), std::string(16, 's'));
  ASSERT_EQ(to_ann.descriptors.size(), 3u);
  ASSERT_EQ(to_bob.descriptors.size(), 3u);
  EXPECT_EQ(FileOf(to_ann.descriptors[0]), FileOf(to_bob.descriptors[0]));
  EXPECT_EQ(FileOf(to_ann.descriptors[1]), FileOf(to_bob.descriptors[1]));
  EXPECT_NE(FileOf(to_ann.descriptors[2]), FileOf(to_bob.descriptors[2]));
  EXPECT_EQ(Verdict(Collect(ConsumeHandedOver(bob, "session-of-bob", name, "second"))), "LIMIT_EXCEEDED");
}

TEST_F(HandOverWireTest, ATicketIsGoodOnceAndForNothingElse) {
  WireClient producer = ClientOf("producer");
  WireClient ann = ClientOf("ann");
  const std::string name = FreshName();
  const std::string deposit_ticket = RegisterHandedOver(producer, name);
  EXPECT_EQ(Verdict(Collect(deposit_ticket)), "TICKET_INVALID");
  ASSERT_EQ(Deposit(Whole(deposit_ticket, 4)), "OK");
  EXPECT_EQ(Deposit(Whole(deposit_ticket, 4)), "TICKET_INVALID");
  ASSERT_EQ(ReasonOf(producer.Heartbeat()), "OK");

  const std::string ticket = ConsumeHandedOver(ann, "session-of-ann", name);
  EXPECT_EQ(Deposit(Whole(ticket, 4)), "TICKET_INVALID");
  EXPECT_EQ(Verdict(Collect(ticket)), "OK");
  EXPECT_EQ(Verdict(Collect(ticket)), "TICKET_INVALID");
  EXPECT_EQ(Verdict(Collect(std::string(16, 'x'))), "TICKET_INVALID");
  EXPECT_EQ(Verdict(Collect("")), "TICKET_INVALID");
}

TEST_F(HandOverWireTest, ATicketThatComesLateOrOutlivesItsRightIsRefused) {
  WireClient producer = ClientOf("producer");
  WireClient ann = ClientOf("ann");
  const std::string name = MakeDeposited(producer, 4);
  const std::string ticket = ConsumeHandedOver(ann, "session-of-ann", name);
  ASSERT_EQ(ReasonOf(ann.StopConsuming(name)), "OK");
  EXPECT_EQ(Verdict(Collect(ticket)), "NOT_REGISTERED");

  // Over before any can be used.
  options_.hand_over.ticket_ttl = absl::Nanoseconds(1);
  Start();
  WireClient late = ClientOf("producer");
  EXPECT_EQ(Deposit(Whole(RegisterHandedOver(late, name), 4)), "TICKET_INVALID");
  ASSERT_EQ(ReasonOf(late.Heartbeat()), "OK");
  WireClient bob = ClientOf("bob");
  EXPECT_EQ(Verdict(Collect(ConsumeHandedOver(bob, "session-of-bob", name))), "TICKET_INVALID");
}

TEST_F(HandOverWireTest, ATicketOfAnEarlierRegistrationDepositsNothing) {
  WireClient producer = ClientOf("producer");
  const std::string name = FreshName();
  const std::string earlier = RegisterHandedOver(producer, name, '1');
  const std::string present = RegisterHandedOver(producer, name, '2');
  EXPECT_EQ(Deposit(Whole(earlier, 1)), "STALE_EPOCH");
  EXPECT_EQ(Deposit(Whole(present, 1)), "OK");
}

TEST_F(HandOverWireTest, AnotherUserCannotUseASessionsTicket) {
  if (getuid() != 0) GTEST_SKIP() << "needs root, to become another user";
  WireClient producer = ClientOf("producer");
  WireClient ann = ClientOf("ann");
  const std::string name = MakeDeposited(producer, 4);
  ASSERT_EQ(Verdict(Collect(ConsumeHandedOver(ann, "session-of-ann", name))), "OK");
  const std::string stolen = ConsumeHandedOver(ann, "session-of-ann", name);
  testing::ChildProcess thief([&](const testing::ChildProcess::Line&) {
    if (setgid(kNobody) != 0 || setuid(kNobody) != 0) return 2;
    return Verdict(Collect(stolen)) == "TICKET_INVALID" ? 0 : 1;
  });
  EXPECT_EQ(thief.Wait(), 0);
  EXPECT_EQ(Verdict(Collect(stolen)), "TICKET_INVALID");
  // A session of its own is another matter: two users share a channel.
  WireClient bob = ClientOf("bob");
  const std::string own = ConsumeHandedOver(bob, "session-of-bob", name);
  testing::ChildProcess other_user([&](const testing::ChildProcess::Line&) {
    if (setgid(kNobody) != 0 || setuid(kNobody) != 0) return 2;
    return Verdict(Collect(own)) == "OK" ? 0 : 1;
  });
  EXPECT_EQ(other_user.Wait(), 0);
}

TEST_F(HandOverWireTest, AUserWhoIsNotAllowedIsToldSo) {
  options_.hand_over.allowed_uids = {getuid() + 1};
  Start();
  EXPECT_EQ(Verdict(Collect(std::string(16, 'x'))), "POLICY_DENIED");
}

TEST_F(HandOverWireTest, WhatARogueProducerBringsIsRefusedAndNothingOfItKept) {
  WireClient producer = ClientOf("producer");
  WireClient ann = ClientOf("ann");
  const std::string name = FreshName();
  const auto refused = [&](const std::function<void(Bundle&)>& spoil) {
    Bundle bundle = Whole(RegisterHandedOver(producer, name), 2);
    spoil(bundle);
    return Deposit(bundle);
  };
  EXPECT_EQ(refused([](Bundle& b) { b.Add(v1::HANDED_OVER_MEMORY_KIND_PART, SealedMemory(0), 2); }),
            "DEPOSIT_REFUSED");
  EXPECT_EQ(refused([](Bundle& b) { b.descriptors[0] = SealedMemory(kPartSeals); }), "DEPOSIT_REFUSED");
  EXPECT_EQ(refused([](Bundle& b) { b.descriptors[3] = Descriptor(open("/", O_RDONLY | O_CLOEXEC)); }),
            "DEPOSIT_REFUSED");
  EXPECT_EQ(refused([](Bundle& b) { b.descriptors[3] = b.descriptors[2].Duplicate(); }), "DEPOSIT_REFUSED");
  EXPECT_EQ(refused([](Bundle& b) {
              b.Add(v1::HANDED_OVER_MEMORY_KIND_PART, SealedMemory(kPartSeals), 2, 2 * kMemoryBytes);
            }),
            "DEPOSIT_REFUSED");
  EXPECT_EQ(refused([](Bundle& b) { b.descriptors.pop_back(); }), "INVALID_REQUEST");
  EXPECT_EQ(refused([](Bundle& b) { b.descriptors.push_back(SealedMemory(kPartSeals)); }), "INVALID_REQUEST");
  EXPECT_EQ(refused([](Bundle& b) { b.request.mutable_deposit()->mutable_memories(0)->set_kind({}); }),
            "INVALID_REQUEST");
  ASSERT_EQ(ReasonOf(producer.Heartbeat()), "OK");
  EXPECT_EQ(Verdict(Collect(ConsumeHandedOver(ann, "session-of-ann", name))), "NOT_DEPOSITED");
}

TEST_F(HandOverWireTest, WhoLeavesLosesItsPartAndTheProducerMakesItAnew) {
  WireClient producer = ClientOf("producer");
  WireClient ann = ClientOf("ann");
  WireClient bob = ClientOf("bob");
  const std::string name = MakeDeposited(producer, 1);
  const Answer to_ann = Collect(ConsumeHandedOver(ann, "session-of-ann", name));
  ASSERT_EQ(Verdict(to_ann), "OK");
  EXPECT_FALSE(TaskOf(producer).has_hand_over());
  ASSERT_EQ(ReasonOf(ann.StopConsuming(name)), "OK");
  EXPECT_EQ(Verdict(Collect(ConsumeHandedOver(bob, "session-of-bob", name))), "LIMIT_EXCEEDED");

  // Told soon after it is answered.
  v1::HandOverTask task;
  for (const absl::Time deadline = Soon();
       task.retired_parts().empty() && handover::SteadyNow() < deadline;) {
    task = TaskOf(producer);
  }
  EXPECT_EQ(task.channel_name(), name);
  EXPECT_THAT(task.retired_parts(), ElementsAre(0));
  EXPECT_FALSE(task.deposit_again());
  EXPECT_FALSE(task.move_on());
  Bundle renewed;
  renewed.request.mutable_deposit()->set_ticket(task.hand_over().ticket());
  renewed.AddPart(0);
  ASSERT_EQ(Deposit(renewed), "OK");
  EXPECT_FALSE(TaskOf(producer).has_hand_over());
  const Answer to_bob = Collect(ConsumeHandedOver(bob, "session-of-bob", name));
  ASSERT_EQ(Verdict(to_bob), "OK");
  EXPECT_NE(FileOf(to_ann.descriptors[2]), FileOf(to_bob.descriptors[2]));
}

TEST_F(HandOverWireTest, ABrokerThatWasRestartedAsksForTheMemoryAgain) {
  options_.store_folder = folder_.path();
  Start();
  std::string name;
  {
    WireClient producer = ClientOf("producer");
    WireClient ann = ClientOf("ann");
    name = MakeDeposited(producer, 2);
    ASSERT_EQ(Verdict(Collect(ConsumeHandedOver(ann, "session-of-ann", name))), "OK");
  }
  Start();
  WireClient producer = ClientOf("producer");
  WireClient bob = ClientOf("bob");
  EXPECT_EQ(Verdict(Collect(ConsumeHandedOver(bob, "session-of-bob", name))), "NOT_DEPOSITED");
  const v1::HandOverTask task = TaskOf(producer);
  EXPECT_TRUE(task.deposit_again());
  Bundle again = Whole(task.hand_over().ticket(), 0);
  v1::HandedOverMemory& used = *again.request.mutable_deposit()->add_memories();
  used.set_kind(v1::HANDED_OVER_MEMORY_KIND_PART);
  used.set_in_use(true);
  again.AddPart(1);
  ASSERT_EQ(Deposit(again), "OK");
  const Answer to_bob = Collect(ConsumeHandedOver(bob, "session-of-bob", name));
  ASSERT_EQ(Verdict(to_bob), "OK");
  EXPECT_EQ(to_bob.message.collected().memories(2).part(), 1u);
}

TEST_F(HandOverWireTest, AThousandAndTwentyFourPlacesAreDepositedAndEachIsGivenOnce) {
  WireClient producer = ClientOf("producer");
  WireClient ann = ClientOf("ann");
  const std::string name = FreshName();
  const std::string ticket = RegisterHandedOver(producer, name);
  auto caller = handover::Caller::Connect(socket(), Soon());
  ASSERT_TRUE(caller.ok());
  constexpr uint32_t kPlaces = 1024;
  for (uint32_t first = 0; first < kPlaces; first += 128) {
    Bundle bundle = first == 0 ? Whole(ticket, 0) : Bundle();
    bundle.request.mutable_deposit()->set_ticket(ticket);
    bundle.request.mutable_deposit()->set_more(first + 128 < kPlaces);
    for (uint32_t part = first; part < first + 128; ++part) bundle.AddPart(part);
    const auto answer = caller->Ask(bundle.request, bundle.numbers(), Soon());
    ASSERT_TRUE(answer.ok()) << answer.status();
    ASSERT_EQ(Verdict(*answer), "OK");
  }
  ASSERT_EQ(ReasonOf(producer.Heartbeat()), "OK");
  std::set<ino_t> parts;
  for (uint32_t i = 0; i < kPlaces; ++i) {
    const Answer answer = Collect(ConsumeHandedOver(ann, "session-of-ann", name, std::to_string(i)));
    ASSERT_EQ(Verdict(answer), "OK") << i;
    parts.insert(FileOf(answer.descriptors[2]));
  }
  EXPECT_EQ(parts.size(), kPlaces);

  // And the producer after this one sees all who have one, a packet at a time.
  const std::string next = RegisterHandedOver(producer, name, '2');
  std::set<ino_t> inherited;
  bool more = true;
  while (more) {
    const Answer page = Inherit(next, static_cast<uint32_t>(inherited.size()));
    ASSERT_EQ(Verdict(page), "OK");
    for (const Descriptor& descriptor : page.descriptors) inherited.insert(FileOf(descriptor));
    more = page.message.inherited().more();
  }
  EXPECT_EQ(inherited.size(), kPlaces + 2);
  EXPECT_TRUE(std::includes(inherited.begin(), inherited.end(), parts.begin(), parts.end()));
}

TEST_F(HandOverWireTest, WhatAProducerLeftIsForTheNextOneOfItsIdentityUntilThatDeposits) {
  WireClient producer = ClientOf("producer");
  WireClient ann = ClientOf("ann");
  const std::string name = MakeDeposited(producer, 2);
  const std::string anns = ConsumeHandedOver(ann, "session-of-ann", name);
  EXPECT_EQ(Verdict(Inherit(anns)), "TICKET_INVALID");
  const Answer to_ann = Collect(anns);
  ASSERT_EQ(Verdict(to_ann), "OK");
  const std::string ticket = RegisterHandedOver(producer, name, '2');
  const Answer left = Inherit(ticket);
  ASSERT_EQ(Verdict(left), "OK");
  EXPECT_EQ(left.message.inherited().segment_id(), std::string(16, 's'));
  // The part that nobody has is of no use.
  ASSERT_EQ(left.descriptors.size(), 3u);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(FileOf(left.descriptors[i]), FileOf(to_ann.descriptors[i]));
  ASSERT_EQ(Deposit(Whole(ticket, 2)), "OK");
  EXPECT_EQ(Verdict(Inherit(RegisterHandedOver(producer, name, '2'))), "NOT_DEPOSITED");

  // Who may have the channel's name need not be who may read what was written under it.
  ASSERT_EQ(ReasonOf(producer.Deregister(name)), "OK");
  WireClient mallory = ClientOf("mallory");
  const std::string mallorys = RegisterHandedOver(mallory, name, '3', "session-of-mallory");
  EXPECT_EQ(Verdict(Inherit(mallorys)), "NOT_DEPOSITED");
}

TEST_F(HandOverWireTest, AFloodOfConnectionsAndOfNonsenseIsOutlived) {
  WireClient producer = ClientOf("producer");
  const std::string ticket = RegisterHandedOver(producer, FreshName());
  {
    std::vector<Descriptor> idle;
    for (int i = 0; i < 300; ++i) {
      auto connected = handover::Connect(socket(), Soon());
      if (connected.ok()) idle.push_back(*std::move(connected));
    }
    for (const Descriptor& connection : idle) {
      const int itself = connection.get();
      handover::Send(connection.get(), "nonsense", std::vector<int>(100, itself), Soon()).IgnoreError();
    }
  }
  // The last of them may have its turn before the server has seen that the others are gone.
  std::string verdict;
  for (const absl::Time deadline = Soon(); verdict != "OK" && handover::SteadyNow() < deadline;) {
    auto caller = handover::Caller::Connect(socket(), Soon());
    ASSERT_TRUE(caller.ok());
    const Bundle bundle = Whole(ticket, 1);
    const auto answer = caller->Ask(bundle.request, bundle.numbers(), Soon());
    if (answer.ok()) verdict = Verdict(*answer);
  }
  EXPECT_EQ(verdict, "OK");
}

TEST_F(HandOverWireTest, AFullTableOfDescriptorsIsOutlived) {
  WireClient producer = ClientOf("producer");
  const std::string ticket = RegisterHandedOver(producer, FreshName());
  const Bundle bundle = Whole(ticket, 8);
  auto caller = handover::Caller::Connect(socket(), Soon());
  ASSERT_TRUE(caller.ok());
  v1::HandOverRequest hello;
  hello.mutable_collect()->set_ticket("x");
  ASSERT_TRUE(caller->Ask(hello, {}, Soon()).ok());
  rlimit limit = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  const Descriptor highest(open("/dev/null", O_RDONLY | O_CLOEXEC));
  rlimit low = limit;
  low.rlim_cur = static_cast<rlim_t>(highest.get()) + 3;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  const auto refused = caller->Ask(bundle.request, bundle.numbers(), Soon());
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  ASSERT_TRUE(refused.ok()) << refused.status();
  EXPECT_EQ(Verdict(*refused), "LIMIT_EXCEEDED");
  EXPECT_GT(DetailIn<google::rpc::RetryInfo>(refused->message.status()).retry_delay().seconds(), 0);
  EXPECT_EQ(Deposit(bundle), "OK");
}

}  // namespace
}  // namespace pylabhub::broker
