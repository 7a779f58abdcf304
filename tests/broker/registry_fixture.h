// A registry on a clock that a test moves by hand, and short ways to call it.
#ifndef PYLABHUB_TESTS_BROKER_REGISTRY_FIXTURE_H_
#define PYLABHUB_TESTS_BROKER_REGISTRY_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "broker/channel_registry.h"
#include "broker/refusal.h"

namespace pylabhub::broker {

constexpr absl::Duration kTtl = absl::Seconds(10);
constexpr absl::Duration kClosingTtl = absl::Seconds(60);
constexpr absl::Duration kTick = absl::Nanoseconds(1);

inline const Caller kAlice = {"alice", "session-alice"};
inline const Caller kAliceAgain = {"alice", "session-alice-restarted"};
inline const Caller kBob = {"bob", "session-bob"};
inline const Caller kCarol = {"carol", "session-carol"};

inline const std::string kHash(32, 'h');
inline const std::string kOtherHash(32, 'o');

inline ChannelSpec SpecOf(const std::string& name, char segment = 's', const std::string& hash = kHash) {
  return {.name = name, .schema_hash = hash, .schema_version = 3, .segment_id = std::string(16, segment)};
}

// The reason of a refusal; "" for success.
inline std::string ReasonOf(const absl::Status& status) {
  const auto details = DetailsOf(status);
  return details.has_value() ? details->reason : std::string(status.message());
}
template <typename T>
std::string ReasonOf(const absl::StatusOr<T>& result) {
  return ReasonOf(result.status());
}

class RegistryFixture : public testing::Test {
 protected:
  RegistryFixture() : RegistryFixture(RegistryOptions{.lease_ttl = kTtl, .closing_ttl = kClosingTtl}) {}
  explicit RegistryFixture(const RegistryOptions& options) : registry_(options) {}

  auto Register(const Caller& caller, const ChannelSpec& spec, bool force = false) {
    return registry_.Register(caller, spec, force, now_);
  }
  auto Discover(const std::string& name, const std::string& expected_hash = "") {
    return registry_.Discover(name, expected_hash, now_);
  }
  auto Deregister(const Caller& caller, const std::string& name, uint64_t epoch = 0) {
    return registry_.Deregister(caller, name, epoch, now_);
  }
  auto Consume(const Caller& caller, const std::string& name, const std::string& id = "") {
    return registry_.ConsumerRegister(caller, {.channel_name = name, .consumer_id = id}, now_);
  }
  auto StopConsuming(const Caller& caller, const std::string& name, const std::string& id = "") {
    return registry_.ConsumerDeregister(caller, name, id, now_);
  }
  SessionStatus Heartbeat(const Caller& caller, SessionClaims claims = {}) {
    claims.session_id = caller.session_id;
    const auto statuses = registry_.Heartbeat(caller.identity, {claims}, now_);
    EXPECT_TRUE(statuses.ok()) << statuses.status();
    return statuses.ok() ? statuses->front() : SessionStatus{};
  }
  // A channel that can be discovered.
  ChannelView MakeReady(const Caller& caller, const std::string& name, char segment = 's') {
    EXPECT_EQ(ReasonOf(Register(caller, SpecOf(name, segment))), "");
    Heartbeat(caller);
    const auto channel = Discover(name);
    EXPECT_TRUE(channel.ok()) << channel.status();
    return channel.ok() ? *channel : ChannelView{};
  }
  std::vector<EventKind> TakeEventKinds() {
    std::vector<EventKind> kinds;
    for (const Event& event : registry_.TakeEvents()) kinds.push_back(event.kind);
    return kinds;
  }

  absl::Time now_ = absl::FromUnixSeconds(1'000'000);
  ChannelRegistry registry_;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_TESTS_BROKER_REGISTRY_FIXTURE_H_
