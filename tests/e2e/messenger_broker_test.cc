// The Messenger and the broker together, over loopback mutual TLS.
#include <sys/stat.h>

#include <filesystem>
#include <memory>
#include <string>

#include "absl/time/clock.h"
#include "client/error_reason.h"
#include "client/messenger.h"
#include "gtest/gtest.h"
#include "proto/tls/certificate_set.h"
#include "proto/tls/private_file.h"
#include "shm/schema.h"
#include "tests/support/event_log.h"
#include "tests/support/lab_broker.h"
#include "tests/support/temp_folder.h"

namespace pylabhub {
namespace {

using ::pylabhub::testing::EventLog;
using ::pylabhub::testing::LabBroker;
using ::pylabhub::testing::TempFolder;

ChannelSpec Spec(const std::string& name, uint8_t segment = 1, uint8_t schema = 0x5a) {
  ChannelSpec spec{.name = name, .schema_version = 1, .metadata = {{"capacity_slots", "64"}}};
  spec.schema_hash.fill(schema);
  spec.segment_id.fill(segment);
  return spec;
}

std::unique_ptr<Messenger> Connected(const ConnectOptions& options) {
  absl::StatusOr<std::unique_ptr<Messenger>> messenger = Messenger::Connect(options);
  EXPECT_TRUE(messenger.ok()) << messenger.status();
  return messenger.ok() ? *std::move(messenger) : nullptr;
}

absl::Status Refused(const ConnectOptions& options) { return Messenger::Connect(options).status(); }

bool Says(const absl::Status& status, const std::string& text) {
  return std::string(status.message()).find(text) != std::string::npos;
}

// Makes a client certificate by `spec` from the broker's own authority, and connects with it.
ConnectOptions WithLeaf(const LabBroker& broker, const tls::LeafSpec& spec) {
  const std::string folder = broker.certificates_folder();
  EXPECT_TRUE(tls::IssueInto(folder, "other", spec).ok());
  ConnectOptions options = broker.ToHere();
  options.certificate_path = folder + "/other.pem";
  options.key_path = folder + "/other.key";
  return options;
}

TEST(MessengerBrokerTest, BrokerTakesTheClientForWhatItsCertificateSays) {
  const LabBroker broker;
  const auto messenger = Connected(broker.ToHere());
  ASSERT_NE(messenger, nullptr);
  EXPECT_EQ(messenger->broker_info().caller_identity, "spiffe://pylabhub.local/client");
  EXPECT_GT(messenger->broker_info().terms.heartbeat_interval, absl::ZeroDuration());
}

TEST(MessengerBrokerTest, RegisteredChannelIsDiscoveredAsItWasRegistered) {
  const LabBroker broker;
  const auto producer = Connected(broker.ToHere());
  const auto consumer = Connected(broker.ToHere());
  const auto grant = producer->RegisterProducer(Spec("sensor.temperature")).get();
  ASSERT_TRUE(grant.ok()) << grant.status();
  const auto found = consumer->DiscoverProducer("sensor.temperature", absl::ZeroDuration());
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->epoch, grant->channel.epoch);
  EXPECT_EQ(found->spec.segment_id, Spec("x").segment_id);
  EXPECT_EQ(found->spec.schema_hash, Spec("x").schema_hash);
  EXPECT_EQ(found->spec.metadata.at("capacity_slots"), "64");
  EXPECT_EQ(found->spec.process.pid, getpid());
  EXPECT_EQ(found->state, ChannelState::kReady);
}

TEST(MessengerBrokerTest, ConsumersAreCountedZeroOneZero) {
  const LabBroker broker;
  const auto messenger = Connected(broker.ToHere());
  ASSERT_TRUE(messenger->RegisterProducer(Spec("a")).get().ok());
  const auto count = [&] { return messenger->DiscoverProducer("a", absl::ZeroDuration())->consumer_count; };
  EXPECT_EQ(count(), 0u);
  ASSERT_TRUE(messenger->RegisterConsumer({.channel = "a"}).get().ok());
  EXPECT_EQ(count(), 1u);
  ASSERT_TRUE(messenger->DeregisterConsumer({.channel = "a"}).get().ok());
  EXPECT_EQ(count(), 0u);
}

TEST(MessengerBrokerTest, OtherSchemaIsRefusedWithBothHashes) {
  const LabBroker broker;
  const auto messenger = Connected(broker.ToHere());
  ASSERT_TRUE(messenger->RegisterProducer(Spec("a")).get().ok());
  ConsumerSpec consumer{.channel = "a"};
  consumer.expected_schema_hash.emplace().fill(1);
  const absl::Status status = messenger->RegisterConsumer(consumer).get().status();
  EXPECT_EQ(ReasonOf(status), reason::kSchemaMismatch);
  EXPECT_EQ(ReasonMetadataOf(status, "expected_schema_hash").size(), 64u);
  EXPECT_EQ(ReasonMetadataOf(status, "actual_schema_hash").size(), 64u);
}

TEST(MessengerBrokerTest, OtherSchemaIsRefusedWithTheDifferenceInWords) {
  const LabBroker broker;
  const auto messenger = Connected(broker.ToHere());
  const auto described_in = [](const char* unit) {
    return shm::Schema{
        .name = "Reading",
        .record_bytes = 8,
        .fields = {{.name = "celsius", .type = shm::ScalarType::kFloat64, .offset_bytes = 0, .unit = unit}}};
  };
  ChannelSpec spec = Spec("a");
  spec.schema_text = shm::CanonicalText(described_in("degC"));
  spec.schema_hash = shm::HashOf(described_in("degC"));
  ASSERT_TRUE(messenger->RegisterProducer(spec).get().ok());
  const ConsumerSpec consumer{.channel = "a",
                              .expected_schema_hash = shm::HashOf(described_in("K")),
                              .expected_schema_text = shm::CanonicalText(described_in("K"))};
  const absl::Status status = messenger->RegisterConsumer(consumer).get().status();
  EXPECT_EQ(ReasonMetadataOf(status, "difference"), R"(field 1 "celsius": unit is "degC", expected "K")");
  EXPECT_TRUE(Says(status, R"(unit is "degC", expected "K")")) << status;
}

TEST(MessengerBrokerTest, DeregisteredChannelIsNotFound) {
  const LabBroker broker;
  const auto messenger = Connected(broker.ToHere());
  ASSERT_TRUE(messenger->RegisterProducer(Spec("a")).get().ok());
  ASSERT_TRUE(messenger->DeregisterProducer("a").get().ok());
  EXPECT_EQ(ReasonOf(messenger->DiscoverProducer("a", absl::ZeroDuration()).status()),
            reason::kChannelNotFound);
  EXPECT_EQ(ReasonOf(messenger->DeregisterProducer("a").get()), reason::kNotRegistered);
}

TEST(MessengerBrokerTest, AnotherIdentityCannotGiveUpAChannel) {
  const LabBroker broker;
  const auto owner = Connected(broker.ToHere());
  const auto stranger = Connected(WithLeaf(broker, tls::ClientSpec("spiffe://lab/stranger")));
  ASSERT_TRUE(owner->RegisterProducer(Spec("a")).get().ok());
  EXPECT_EQ(stranger->broker_info().caller_identity, "spiffe://lab/stranger");
  EXPECT_EQ(ReasonOf(stranger->DeregisterProducer("a").get()), reason::kNotRegistered);
  EXPECT_EQ(ReasonOf(stranger->RegisterProducer(Spec("a", 2)).get().status()), reason::kChannelHeld);
  EXPECT_FALSE(stranger->RegisterProducer(Spec("a", 2), OnHeld::kTakeOver).get().ok());
  EXPECT_TRUE(stranger->DiscoverProducer("a", absl::ZeroDuration()).ok());
}

TEST(MessengerBrokerTest, LeaseIsKeptForAsLongAsTheMessengerLives) {
  EventLog events;
  const LabBroker broker(absl::Seconds(1));
  const auto messenger = Connected(broker.ToHere(events.Hook()));
  ASSERT_TRUE(messenger->RegisterProducer(Spec("a")).get().ok());
  ASSERT_TRUE(messenger->RegisterConsumer({.channel = "a"}).get().ok());
  const auto epoch = messenger->DiscoverProducer("a", absl::ZeroDuration())->epoch;
  // Time is what is tested here: several leases long, the channel must be there whenever somebody looks.
  const absl::Time end = absl::Now() + absl::Milliseconds(2500);
  while (absl::Now() < end) {
    const auto found = messenger->DiscoverProducer("a", absl::ZeroDuration());
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(found->epoch, epoch);
    EXPECT_EQ(found->consumer_count, 1u);
  }
}

TEST(MessengerBrokerTest, RestartedBrokerHearsOfEverythingAgainByItself) {
  EventLog events;
  LabBroker broker;
  const auto messenger = Connected(broker.ToHere(events.Hook()));
  ASSERT_TRUE(messenger->RegisterProducer(Spec("a")).get().ok());
  ASSERT_TRUE(messenger->RegisterConsumer({.channel = "a", .consumer_id = "one"}).get().ok());
  broker.Restart();
  EXPECT_TRUE(events.Await(MessengerEventKind::kRegistrationRestored).has_value());
  EXPECT_TRUE(events.Await(MessengerEventKind::kRegistrationRestored).has_value());
  const auto other = Connected(broker.ToHere());
  const auto found = other->DiscoverProducer("a", absl::Seconds(30));
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->consumer_count, 1u);
}

TEST(MessengerBrokerTest, BrokerThatGoesAwayIsToldAndIsFoundAgain) {
  EventLog events;
  LabBroker broker;
  const auto messenger = Connected(broker.ToHere(events.Hook()));
  ASSERT_TRUE(messenger->RegisterProducer(Spec("a")).get().ok());
  broker.Stop();
  EXPECT_TRUE(events.Await(MessengerEventKind::kBrokerUnreachable).has_value());
  broker.Restart();
  EXPECT_TRUE(events.Await(MessengerEventKind::kBrokerBack).has_value());
  EXPECT_TRUE(messenger->DiscoverProducer("a", absl::Seconds(30)).ok());
}

TEST(MessengerBrokerTest, ConsumerIsToldThatItsChannelCloses) {
  EventLog events;
  const LabBroker broker(absl::Seconds(1));
  auto producer = Connected(broker.ToHere());
  const auto consumer = Connected(broker.ToHere(events.Hook()));
  ASSERT_TRUE(producer->RegisterProducer(Spec("a")).get().ok());
  ASSERT_TRUE(consumer->RegisterConsumer({.channel = "a"}).get().ok());
  producer.reset();
  const auto closing = events.Await(MessengerEventKind::kChannelClosing);
  ASSERT_TRUE(closing.has_value());
  EXPECT_EQ(closing->channel, "a");
  producer = Connected(broker.ToHere());
  ASSERT_TRUE(producer->RegisterProducer(Spec("a", 2)).get().ok());
  EXPECT_TRUE(events.Await(MessengerEventKind::kChannelBack).has_value());
}

TEST(MessengerBrokerTest, TakenOverProducerIsToldThatItIsFenced) {
  EventLog events;
  const LabBroker broker(absl::Seconds(1));
  const auto first = Connected(broker.ToHere(events.Hook()));
  const auto second = Connected(broker.ToHere());
  const auto old_grant = first->RegisterProducer(Spec("a")).get();
  const auto new_grant = second->RegisterProducer(Spec("a", 2), OnHeld::kTakeOver).get();
  ASSERT_TRUE(new_grant.ok()) << new_grant.status();
  EXPECT_GT(new_grant->channel.epoch, old_grant->channel.epoch);
  const auto lost = events.Await(MessengerEventKind::kRegistrationLost);
  ASSERT_TRUE(lost.has_value());
  EXPECT_EQ(lost->status.code(), absl::StatusCode::kAborted) << lost->status;
}

TEST(MessengerBrokerTest, TwoMessengersToTwoBrokersInOneProcess) {
  const LabBroker one_broker;
  const LabBroker other_broker;
  const auto one = Connected(one_broker.ToHere());
  const auto other = Connected(other_broker.ToHere());
  ASSERT_TRUE(one->RegisterProducer(Spec("a", 1)).get().ok());
  ASSERT_TRUE(other->RegisterProducer(Spec("a", 2)).get().ok());
  EXPECT_EQ(one->DiscoverProducer("a", absl::ZeroDuration())->spec.segment_id, Spec("a", 1).segment_id);
  EXPECT_EQ(other->DiscoverProducer("a", absl::ZeroDuration())->spec.segment_id, Spec("a", 2).segment_id);
}

TEST(MessengerBrokerTest, ChannelsAreListedOverMoreThanOnePage) {
  const LabBroker broker(absl::Seconds(10));
  const auto messenger = Connected(broker.ToHere());
  std::vector<std::future<absl::StatusOr<Grant>>> outcomes;
  for (int i = 0; i < 1001; ++i) {
    outcomes.push_back(messenger->RegisterProducer(Spec("list." + std::to_string(i))));
  }
  for (auto& outcome : outcomes) ASSERT_TRUE(outcome.get().ok());
  const auto listed = messenger->ListChannels("list.", absl::Seconds(20));
  ASSERT_TRUE(listed.ok()) << listed.status();
  EXPECT_EQ(listed->size(), 1001u);
}

TEST(MessengerBrokerTest, BadNameIsRefusedWithTheRule) {
  const LabBroker broker;
  const auto messenger = Connected(broker.ToHere());
  const absl::Status status = messenger->RegisterProducer(Spec("Not A Name")).get().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReasonOf(status), "INVALID_REQUEST");
  EXPECT_TRUE(Says(status, "name")) << status;
}

TEST(MessengerBrokerTest, BrokerOfAnotherAuthorityIsNotTrusted) {
  const LabBroker broker;
  const TempFolder temp;
  ASSERT_TRUE(tls::CreateCertificateSet(temp / "certs").ok());
  ConnectOptions options = broker.ToHere();
  options.certificates_folder = temp / "certs";
  const absl::Status status = Refused(options);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(Says(status, "not signed by the CA that this client trusts")) << status;
}

TEST(MessengerBrokerTest, ClientOfAnotherAuthorityIsNotLetIn) {
  const LabBroker broker;
  const TempFolder temp;
  ASSERT_TRUE(tls::CreateCertificateSet(temp / "certs").ok());
  ConnectOptions options = broker.ToHere();
  options.certificate_path = temp / "certs/client.pem";
  options.key_path = temp / "certs/client.key";
  const absl::Status status = Refused(options);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(Says(status, "this client's certificate is signed by")) << status;
}

TEST(MessengerBrokerTest, ExpiredClientCertificateIsSaidToBeExpired) {
  const LabBroker broker;
  tls::LeafSpec spec = tls::ClientSpec("spiffe://lab/late");
  spec.validity = {.not_before = absl::Now() - absl::Hours(2), .expire_time = absl::Now() - absl::Hours(1)};
  const absl::Status status = Refused(WithLeaf(broker, spec));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(Says(status, "certificate expired at")) << status;
}

TEST(MessengerBrokerTest, ServerCertificateIsNoClientCertificate) {
  const LabBroker broker;
  EXPECT_EQ(Refused(WithLeaf(broker, tls::ServerSpec({}))).code(), absl::StatusCode::kUnavailable);
}

TEST(MessengerBrokerTest, BrokerUnderANameThatItsCertificateLacksIsNotTrusted) {
  const LabBroker broker;
  ConnectOptions options = broker.ToHere();
  options.server_name = "elsewhere.example";
  const absl::Status status = Refused(options);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(Says(status, "another name than 'elsewhere.example'")) << status;
}

TEST(MessengerBrokerTest, DestructionOfAMessengerWhoseBrokerIsGoneIsQuick) {
  LabBroker broker;
  auto messenger = Connected(broker.ToHere());
  ASSERT_TRUE(messenger->RegisterProducer(Spec("a")).get().ok());
  broker.Stop();
  const absl::Time start = absl::Now();
  messenger.reset();
  EXPECT_LT(absl::Now() - start, absl::Seconds(10));
}

}  // namespace
}  // namespace pylabhub
