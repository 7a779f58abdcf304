#include "broker/config_file.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "broker/config/config.pb.h"
#include "tests/support/temp_folder.h"

namespace pylabhub::broker {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// What is said of `text`; "good" if nothing is.
std::string VerdictOn(const std::string& text) {
  Settings settings;
  const absl::Status status = ReadConfig(text, "broker.textproto", settings);
  return status.ok() ? "good" : std::string(status.message());
}

std::string ExampleText() {
  std::ostringstream text;
  text << std::ifstream("deploy/broker.textproto").rdbuf();
  return text.str();
}

// Every field of `message` and of those in it that the example leaves out.
void ListUnset(const google::protobuf::Message& message, const std::string& prefix,
               std::vector<std::string>& unset) {
  const auto& descriptor = *message.GetDescriptor();
  for (int i = 0; i < descriptor.field_count(); ++i) {
    const auto* field = descriptor.field(i);
    if (field->is_repeated() || !message.GetReflection()->HasField(message, field)) {
      unset.push_back(prefix + field->name());
    } else if (field->message_type() != nullptr) {
      ListUnset(message.GetReflection()->GetMessage(message, field), prefix + field->name() + ".", unset);
    }
  }
}

TEST(ConfigFileTest, TheExampleSaysEveryFieldAndItsDefault) {
  Settings read;
  // Other than the defaults, so that a field which the example leaves out shows.
  read.port = 1;
  read.unix_socket_mode = 0;
  read.lease_ttl = read.shutdown_grace = absl::Seconds(77);
  read.max_threads = 3;
  read.channelz = read.metrics_allow_remote = true;
  read.sandbox = false;
  read.log_level = LogLevel::kError;
  read.log_format = LogFormat::kJson;
  read.connection_caps = {1, 1};
  read.hand_over_mode = 0;
  read.hand_over_descriptors = read.hand_over_descriptors_per_identity = 1;
  read.limits = {.max_channels = 1, .max_call_burst_per_identity = 1};
  for (std::string* text : {&read.address, &read.store, &read.port_file, &read.unix_socket, &read.server_cert,
                            &read.server_key, &read.ca, &read.revocations, &read.crl, &read.metrics_address,
                            &read.policy, &read.hand_over_socket}) {
    *text = "other";
  }
  ASSERT_TRUE(ReadConfig(ExampleText(), "example", read).ok()) << VerdictOn(ExampleText());
  const Settings defaults;
  EXPECT_EQ(read.address, defaults.address);
  EXPECT_EQ(read.port, defaults.port);
  EXPECT_EQ(read.port_file, defaults.port_file);
  EXPECT_EQ(read.unix_socket, defaults.unix_socket);
  EXPECT_EQ(read.unix_socket_mode, defaults.unix_socket_mode);
  EXPECT_EQ(read.server_cert, defaults.server_cert);
  EXPECT_EQ(read.server_key, defaults.server_key);
  EXPECT_EQ(read.ca, defaults.ca);
  EXPECT_EQ(read.revocations, defaults.revocations);
  EXPECT_EQ(read.crl, defaults.crl);
  EXPECT_EQ(read.sandbox, defaults.sandbox);
  EXPECT_EQ(read.policy, defaults.policy);
  EXPECT_EQ(read.lease_ttl, defaults.lease_ttl);
  EXPECT_EQ(read.shutdown_grace, defaults.shutdown_grace);
  EXPECT_EQ(read.max_threads, defaults.max_threads);
  EXPECT_EQ(read.channelz, defaults.channelz);
  EXPECT_EQ(read.metrics_address, defaults.metrics_address);
  EXPECT_EQ(read.metrics_allow_remote, defaults.metrics_allow_remote);
  EXPECT_EQ(read.log_level, defaults.log_level);
  EXPECT_EQ(read.log_format, defaults.log_format);
  EXPECT_EQ(read.connection_caps, defaults.connection_caps);
  EXPECT_EQ(read.store, defaults.store);
  EXPECT_EQ(read.limits, defaults.limits);
  EXPECT_EQ(read.hand_over_socket, defaults.hand_over_socket);
  EXPECT_EQ(read.hand_over_mode, defaults.hand_over_mode);
  EXPECT_EQ(read.hand_over_descriptors, defaults.hand_over_descriptors);
  EXPECT_EQ(read.hand_over_descriptors_per_identity, defaults.hand_over_descriptors_per_identity);
}

TEST(ConfigFileTest, TheExampleLeavesOutOnlyWhatHasNoOneDefault) {
  config::Config config;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(ExampleText(), &config));
  std::vector<std::string> unset;
  ListUnset(config, "", unset);
  EXPECT_THAT(unset, ::testing::ElementsAre("certificates.state_dir", "certificates.server_names", "admins",
                                            "hand_over.allowed_uids"));
}

TEST(ConfigFileTest, EveryFieldIsTold) {
  std::ostringstream page;
  page << std::ifstream("docs/broker.md").rdbuf();
  const auto& config = *config::Config::descriptor();
  for (int i = 0; i < config.field_count(); ++i) {
    const auto* section = config.field(i)->message_type();
    if (section == nullptr) {
      EXPECT_THAT(page.str(), HasSubstr("| `" + config.field(i)->name() + "`"));
      continue;
    }
    for (int j = 0; j < section->field_count(); ++j) {
      EXPECT_THAT(page.str(),
                  HasSubstr("| `" + config.field(i)->name() + "." + section->field(j)->name() + "`"));
    }
  }
}

TEST(ConfigFileTest, WhatIsLeftOutStaysAsItWas) {
  Settings settings;
  settings.port = 1234;
  settings.limits.max_channels = 7;
  ASSERT_TRUE(ReadConfig("limits { sessions: 9 }", "file", settings).ok());
  EXPECT_EQ(settings.port, 1234);
  EXPECT_EQ(settings.limits.max_channels, 7u);
  EXPECT_EQ(settings.limits.max_sessions, 9u);
  ASSERT_TRUE(ReadConfig("", "file", settings).ok());
}

TEST(ConfigFileTest, WhatIsWrongIsNamedWithItsPlaceAndWhatIsAllowed) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> cases = {
      // An unknown field, at the top and within: the place is just after its name, or after a value.
      {"listen {\n  prot: 5570\n}", {"broker.textproto:2:7: ", "no field named \"prot\"", "address, port, "}},
      {"ports: 1",
       {"broker.textproto:1:6: ", "\"ports\"", "listen, certificates, limits, metrics, log, lease_ttl"}},
      // A number out of range, of another kind, negative, too large for anything.
      {"\nlisten { port: 65536 }", {"broker.textproto:2:10: ", "port: 65536 is not 0 to 65535"}},
      {"listen { port: \"no\" }", {"broker.textproto:1:16: ", "Expected integer"}},
      {"listen { port: -1 }", {"broker.textproto:1:16: ", "Expected integer"}},
      {"limits { channels: 99999999999999999999 }", {"broker.textproto:1:20: ", "Integer out of range"}},
      {"max_threads: 1", {"broker.textproto:1:1: ", "1 is not 2 to 4096"}},
      // Durations.
      {"lease_ttl: \"ten\"", {"broker.textproto:1:1: ", "\"ten\" is no duration", "\"10s\""}},
      {"lease_ttl: \"99ms\"", {"\"99ms\" is not 100ms to 24h"}},
      {"lease_ttl: 10", {"broker.textproto:1:12: ", "Expected string"}},
      {"shutdown_grace: \"-1s\"", {"\"-1s\" is not 0 to 1h"}},
      // Words and modes.
      {"log { level: \"debug\" }",
       {"broker.textproto:1:7: ", "\"debug\" is not one of: info, warning, error"}},
      {"log { format: \"xml\" }", {"not one of: logfmt, json"}},
      {"channelz: maybe", {"broker.textproto:1:16: ", "maybe"}},
      {"listen { unix_socket_mode: \"0888\" }", {"broker.textproto:1:10: ", "write octal"}},
      // Said twice, left open, no sense at all.
      {"max_threads: 4\nmax_threads: 5", {"broker.textproto:2:", "specified multiple times"}},
      {"listen {", {"broker.textproto:1:9: ", "Expected identifier"}},
      {"\x01\x02", {"broker.textproto:1:1: ", "nvalid"}},
      // What goes together.
      {"certificates { ca: \"ca.pem\" }", {"broker.textproto:1:16: ", "set all three, or none"}},
  };
  for (const auto& [text, expected] : cases) {
    const std::string verdict = VerdictOn(text);
    for (const std::string& part : expected) EXPECT_THAT(verdict, HasSubstr(part)) << text;
  }
}

TEST(ConfigFileTest, EveryThingWrongIsNamedAtOnce) {
  const std::string verdict = VerdictOn("listen { port: 70000 }\nlease_ttl: \"x\"\nmax_threads: 0");
  EXPECT_THAT(verdict, HasSubstr("broker.textproto:1:10: port"));
  EXPECT_THAT(verdict, HasSubstr("\nbroker.textproto:2:1: lease_ttl"));
  EXPECT_THAT(verdict, HasSubstr("\nbroker.textproto:3:1: max_threads"));
}

TEST(ConfigFileTest, AFileThatCannotBeReadIsNamed) {
  const testing::TempFolder folder;
  Settings settings;
  EXPECT_THAT(std::string(ReadConfigFile(folder / "none", settings).message()),
              StartsWith((folder / "none") + ": cannot be read: No such file"));
  EXPECT_THAT(std::string(ReadConfigFile(folder.path(), settings).message()), HasSubstr("is a folder"));
}

}  // namespace
}  // namespace pylabhub::broker
