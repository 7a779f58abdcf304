// A real broker with a policy file that a test replaces, its log, and clients of any identity, over TCP and the Unix socket.
#ifndef PYLABHUB_TESTS_ACCESS_POLICY_POLICY_LAB_H_
#define PYLABHUB_TESTS_ACCESS_POLICY_POLICY_LAB_H_

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "broker/embedded_broker.h"
#include "proto/pylabhub/v1/admin.grpc.pb.h"
#include "proto/pylabhub/v1/schema_registry.grpc.pb.h"
#include "proto/schema/canonical.h"
#include "tests/broker/watch_client.h"
#include "tests/broker/wire_fixture.h"
#include "tests/proto/policy/policy_model.h"
#include "tests/support/temp_folder.h"
#include "tests/support/test_broker.h"

namespace pylabhub::broker {

// What the broker logged. Thread-safe.
class PolicyLog {
 public:
  LogHook Hook() {
    return [this](const LogRecord& record) {
      std::string line = record.event;
      for (const auto& [key, value] : record.fields) absl::StrAppend(&line, " ", key, "=", value);
      {
        const std::lock_guard lock(mutex_);
        lines_.push_back(std::move(line));
      }
      changed_.notify_all();
    };
  }

  // How many lines hold all of `parts`.
  int Count(const std::vector<std::string>& parts) const {
    const std::lock_guard lock(mutex_);
    return CountNow(parts);
  }

  // Waits until `count` lines do; false if they do not come for half a minute.
  bool Await(const std::vector<std::string>& parts, int count = 1) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(30), [&] { return CountNow(parts) >= count; });
  }

 private:
  int CountNow(const std::vector<std::string>& parts) const {
    return static_cast<int>(std::count_if(lines_.begin(), lines_.end(), [&](const std::string& line) {
      return std::all_of(parts.begin(), parts.end(),
                         [&](const std::string& part) { return line.find(part) != std::string::npos; });
    }));
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> lines_;
};

// One client: an identity, a session, one connection.
class LabClient : public WireClient {
 public:
  LabClient(const std::shared_ptr<grpc::Channel>& channel, const std::string& session_id)
      : WireClient(channel, session_id),
        session_id_(session_id),
        schemas_(v1::SchemaRegistry::NewStub(channel)),
        admin_(v1::Admin::NewStub(channel)) {}

  using WireClient::Call;
  template <typename Stub, typename Method, typename Request, typename Response>
  grpc::Status CallOn(Stub& stub, Method method, const Request& request, Response& response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    return (stub.*method)(&context, request, &response);
  }

  v1::SchemaRegistry::Stub& schemas() { return *schemas_; }
  v1::Admin::Stub& admin() { return *admin_; }
  const std::string& session_id() const { return session_id_; }

  std::vector<std::string> List(int page_size = 0) {
    std::vector<std::string> names;
    v1::ListChannelsRequest request;
    request.set_page_size(page_size);
    do {
      v1::ListChannelsResponse response;
      EXPECT_TRUE(Call(&v1::Broker::Stub::ListChannels, request, response).ok());
      for (const v1::Channel& channel : response.channels()) names.push_back(channel.spec().name());
      request.set_page_token(response.next_page_token());
    } while (!request.page_token().empty());
    return names;
  }

  // The channels that a stream over `patterns` begins with, or the reason why there is none.
  std::vector<std::string> Snapshot(const std::vector<std::string>& patterns) {
    v1::WatchRequest request;
    request.set_snapshot(true);
    for (const std::string& pattern : patterns) request.add_name_patterns(pattern);
    WatchClient stream(stub(), request);
    std::vector<std::string> names;
    while (auto event = stream.NextChange()) {
      if (event->kind() == v1::WATCH_EVENT_KIND_SNAPSHOT_COMPLETE) return names;
      names.push_back(event->channel().spec().name());
    }
    return {ReasonOf(stream.End())};
  }

  // Why it does not hold the channel that it claims; "held" if it does.
  std::string WhyLost(const std::string& name) {
    v1::HeartbeatRequest request;
    request.add_sessions()->set_session_id(session_id_);
    request.mutable_sessions(0)->add_channels()->set_name(name);
    v1::HeartbeatResponse response;
    EXPECT_TRUE(Call(&v1::Broker::Stub::Heartbeat, request, response).ok());
    if (response.sessions(0).lost_channels_size() == 0) return "held";
    return v1::LossReason_Name(response.sessions(0).lost_channels(0).reason());
  }

 private:
  const std::string session_id_;
  std::unique_ptr<v1::SchemaRegistry::Stub> schemas_;
  std::unique_ptr<v1::Admin::Stub> admin_;
};

class PolicyLab {
 public:
  // Everything is allowed to this one, by the first rule.
  static constexpr char kOwner[] = "spiffe://lab/owner";

  explicit PolicyLab(const std::vector<policy::Rule>& rules, BrokerOptions options = {}) {
    WritePolicy(rules);
    options.unix_socket = folder_ / "socket";
    options.hand_over.socket = hand_over_socket();
    options.policy_file = policy_file();
    options.policy_look_interval = absl::Milliseconds(20);
    options.registry.lease_ttl = absl::Minutes(10);
    options.log = log_.Hook();
    options_ = std::move(options);
    Start();
  }

  void Start() { broker_ = testing::StartTestBroker(authority_, options_); }
  void Stop() { broker_.reset(); }

  static std::vector<policy::Rule> WithOwner(std::vector<policy::Rule> rules) {
    policy::Rule all = {.name = "owner", .principals = {kOwner}, .channels = {"*"}};
    for (size_t i = 0; i < policy::kActionCount; ++i) all.actions.push_back(static_cast<policy::Action>(i));
    rules.insert(rules.begin(), all);
    return rules;
  }

  std::string policy_file() const { return folder_ / "policy.textproto"; }
  std::string hand_over_socket() const { return folder_ / "hand_over"; }
  std::string folder() const { return folder_ / ""; }
  static std::string TextOf(const std::vector<policy::Rule>& rules) {
    return testing::ToText(WithOwner(rules));
  }
  // Replaces the file by a rename.
  void WritePolicy(const std::vector<policy::Rule>& rules) {
    const std::string beside = folder_ / "next";
    std::ofstream(beside) << TextOf(rules);
    EXPECT_EQ(std::rename(beside.c_str(), policy_file().c_str()), 0);
  }
  // The same, and when it returns, that policy stands.
  void Enforce(const std::vector<policy::Rule>& rules) {
    WritePolicy(rules);
    const absl::Status status = broker_->ReloadPolicy();
    EXPECT_TRUE(status.ok()) << status;
  }

  // Waits until the broker has read `count` good files since it was made, that with which it began among them, each of another
  // text than the one before; the last of them stands then.
  void AwaitPolicy(int count) {
    EXPECT_TRUE(log_.Await({"policy_loaded"}, count));
    // Whoever reads a file has not done before its policy stands, and one reads at a time.
    EXPECT_TRUE(broker_->ReloadPolicy().ok());
  }

  std::shared_ptr<grpc::Channel> ConnectionOf(const std::string& identity, bool local = false) {
    auto [files, is_new] = files_.try_emplace(identity);
    if (is_new) files->second = authority_.Client(identity);
    return testing::ConnectWith(local ? broker_->unix_target() : broker_->target(), files->second);
  }
  LabClient ClientOf(const std::string& identity, const std::string& session = "session",
                     bool local = false) {
    return LabClient(ConnectionOf(identity, local),
                     absl::StrCat(session, "-", std::hash<std::string>()(identity)));
  }

  EmbeddedBroker& broker() { return *broker_; }
  PolicyLog& log() { return log_; }

 private:
  testing::TempFolder folder_{"/tmp"};
  testing::TestAuthority authority_;
  std::map<std::string, tls::TlsFiles> files_;
  PolicyLog log_;
  BrokerOptions options_;
  std::unique_ptr<EmbeddedBroker> broker_;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_TESTS_ACCESS_POLICY_POLICY_LAB_H_
