#include "broker/validate.h"

#include "tests/broker/registry_fixture.h"

namespace pylabhub::broker {
namespace {

// The fields that a refusal names.
std::vector<std::string> FieldsOf(const absl::Status& status) {
  std::vector<std::string> fields;
  const auto details = DetailsOf(status);
  if (!details.has_value()) return fields;
  EXPECT_EQ(details->reason, "INVALID_REQUEST");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  for (const FieldViolation& violation : details->field_violations) fields.push_back(violation.field);
  return fields;
}

const char kSession[] = "12345678";

TEST(ValidateTest, AChannelNameIsOneTo128OfItsAlphabet) {
  for (const char* good : {"a", "sensor.temperature", "0-9_.", "-"}) EXPECT_TRUE(IsChannelName(good)) << good;
  EXPECT_TRUE(IsChannelName(std::string(128, 'n')));
  EXPECT_FALSE(IsChannelName(std::string(129, 'n')));
  for (const char* bad : {"", "A", "a b", "a/b", "\xc3\xa4", "a\n", "a:b"})
    EXPECT_FALSE(IsChannelName(bad)) << bad;
  EXPECT_FALSE(IsChannelName(absl::string_view("a\0b", 3)));
}

TEST(ValidateTest, ASchemaHashHasExactly32Bytes) {
  for (const size_t bytes : {0, 31, 33, 64}) {
    ChannelSpec spec = SpecOf("a");
    spec.schema_hash = std::string(bytes, 'h');
    EXPECT_THAT(FieldsOf(ValidateRegister(kSession, spec)), testing::ElementsAre("channel.schema_hash"))
        << bytes;
  }
  EXPECT_TRUE(ValidateRegister(kSession, SpecOf("a")).ok());
  EXPECT_THAT(FieldsOf(ValidateDiscover("a", std::string(31, 'h'))),
              testing::ElementsAre("expected_schema_hash"));
  EXPECT_TRUE(ValidateDiscover("a", "").ok());
}

TEST(ValidateTest, ASegmentIdHasExactly16Bytes) {
  for (const size_t bytes : {0, 15, 17}) {
    ChannelSpec spec = SpecOf("a");
    spec.segment_id = std::string(bytes, 's');
    EXPECT_THAT(FieldsOf(ValidateRegister(kSession, spec)), testing::ElementsAre("channel.segment_id"));
  }
}

TEST(ValidateTest, ASessionIdIsEightTo64OfItsAlphabet) {
  const auto valid = [](absl::string_view id) { return ValidateDeregister(id, "a").ok(); };
  EXPECT_FALSE(valid("1234567"));
  EXPECT_TRUE(valid("12345678"));
  EXPECT_TRUE(valid(std::string(64, 'S')));
  EXPECT_FALSE(valid(std::string(65, 'S')));
  EXPECT_FALSE(valid("1234 5678"));
}

TEST(ValidateTest, EveryBrokenFieldIsNamedAtOnce) {
  const auto fields = FieldsOf(ValidateRegister("", {.name = "Bad Name", .process = {.pid = -1}}));
  EXPECT_THAT(fields, testing::ElementsAre("session_id", "channel.name", "channel.schema_hash",
                                           "channel.segment_id", "channel.process.pid"));
}

TEST(ValidateTest, MetadataIsBoundedInKeysValuesEntriesAndBytes) {
  const auto valid = [](std::map<std::string, std::string> metadata) {
    ChannelSpec spec = SpecOf("a");
    spec.metadata = std::move(metadata);
    return ValidateRegister(kSession, spec).ok();
  };
  EXPECT_TRUE(valid({{std::string(64, 'k'), std::string(4096, 'v')}}));
  EXPECT_FALSE(valid({{std::string(65, 'k'), ""}}));
  EXPECT_FALSE(valid({{"", ""}}));
  EXPECT_FALSE(valid({{"Key", ""}}));
  EXPECT_FALSE(valid({{"k", std::string(4097, 'v')}}));

  std::map<std::string, std::string> many;
  for (int i = 0; i < 64; ++i) many[std::to_string(i)] = "v";
  EXPECT_TRUE(valid(many));
  many["64"] = "v";
  EXPECT_FALSE(valid(many));

  std::map<std::string, std::string> full;
  for (const char* key : {"a", "b", "c", "d"}) full[key] = std::string(4095, 'v');
  EXPECT_TRUE(valid(full));
  full["e"] = "";
  EXPECT_FALSE(valid(full));
}

TEST(ValidateTest, ANameOfSharedMemoryIsAFileNameAndNoPath) {
  const auto valid = [](const std::string& name) {
    ChannelSpec spec = SpecOf("a");
    spec.shared_memory.data_name = name;
    return ValidateRegister(kSession, spec).ok();
  };
  EXPECT_TRUE(valid("pylabhub.a.data"));
  EXPECT_TRUE(valid(std::string(250, 'n')));
  EXPECT_FALSE(valid(std::string(251, 'n')));
  EXPECT_FALSE(valid("../etc/passwd"));
  EXPECT_FALSE(valid(".."));
  EXPECT_FALSE(valid(std::string("a\0b", 3)));
}

TEST(ValidateTest, AHeartbeatNamesOneTo1000DifferentSessions) {
  EXPECT_THAT(FieldsOf(ValidateHeartbeat({})), testing::ElementsAre("sessions"));
  std::vector<SessionClaims> sessions;
  for (int i = 0; i < 1000; ++i) sessions.push_back({.session_id = "session-" + std::to_string(i)});
  EXPECT_TRUE(ValidateHeartbeat(sessions).ok());
  sessions.push_back({.session_id = "session-1000"});
  EXPECT_THAT(FieldsOf(ValidateHeartbeat(sessions)), testing::ElementsAre("sessions"));
  EXPECT_THAT(FieldsOf(ValidateHeartbeat({{.session_id = kSession}, {.session_id = kSession}})),
              testing::ElementsAre("sessions[1].session_id"));
}

TEST(ValidateTest, AConsumersIdAndGroupAreBounded) {
  const auto fields = FieldsOf(ValidateConsumerRegister(kSession, {.channel_name = "a",
                                                                   .consumer_id = std::string(65, 'c'),
                                                                   .group = "no spaces",
                                                                   .max_held_slots = 65}));
  EXPECT_THAT(fields, testing::ElementsAre("consumer_id", "group", "max_held_slots"));
  EXPECT_TRUE(ValidateConsumerRegister(
                  kSession, {.channel_name = "a", .consumer_id = std::string(64, 'c'), .max_held_slots = 64})
                  .ok());
}

}  // namespace
}  // namespace pylabhub::broker
