// What every call passes, seen from outside: request ids, rates, the audit line.

#include "broker/call_desk.h"

#include <map>
#include <mutex>
#include <vector>

#include "tests/broker/wire_fixture.h"

namespace pylabhub::broker {
namespace {

using ::testing::Contains;
using ::testing::Pair;

class CallDeskTest : public WireTest {
 protected:
  // Calls Register with `sent` as the request id, if it is not empty; what came back as the id.
  static std::string RequestIdAfter(v1::Broker::Stub& stub, const std::string& sent) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    if (!sent.empty()) context.AddMetadata(kRequestIdKey, sent);
    v1::RegisterResponse response;
    EXPECT_FALSE(stub.Register(&context, v1::RegisterRequest(), &response).ok());
    const auto& trailers = context.GetServerTrailingMetadata();
    const auto found = trailers.find(kRequestIdKey);
    return found == trailers.end() ? "" : std::string(found->second.data(), found->second.size());
  }
};

TEST_F(CallDeskTest, ARequestIdComesBackAndStandsInTheLogAndOneIsMadeWhereNoneFits) {
  std::mutex mutex;
  std::vector<LogRecord> calls;
  BrokerOptions options;
  options.log = [&](const LogRecord& record) {
    const std::lock_guard<std::mutex> lock(mutex);
    if (record.event == "call") calls.push_back(record);
  };
  const auto broker = testing::StartTestBroker(*authority_, options);
  const auto stub = v1::Broker::NewStub(testing::ConnectWith(broker->target(), authority_->Client("alice")));
  EXPECT_EQ(RequestIdAfter(*stub, "made-by-the-client"), "made-by-the-client");
  const std::string made = RequestIdAfter(*stub, "");
  const std::string made_for_one_too_long = RequestIdAfter(*stub, std::string(65, 'x'));
  EXPECT_TRUE(IsRequestId(made));
  EXPECT_TRUE(IsRequestId(made_for_one_too_long));
  EXPECT_NE(made, made_for_one_too_long);
  const std::lock_guard<std::mutex> lock(mutex);
  ASSERT_EQ(calls.size(), 3u);
  EXPECT_THAT(calls[0].fields, Contains(Pair("request_id", "made-by-the-client")));
  EXPECT_THAT(calls[1].fields, Contains(Pair("request_id", made)));
  EXPECT_THAT(calls[2].fields, Contains(Pair("request_id", made_for_one_too_long)));
}

TEST_F(CallDeskTest, AnIdentityThatCallsTooOftenIsToldWhenToComeBackAndOthersAreServed) {
  BrokerOptions options;
  options.registry.limits.max_calls_per_second_per_identity = 1;
  options.registry.limits.max_call_burst_per_identity = 5;
  const auto broker = testing::StartTestBroker(*authority_, options);
  WireClient greedy(testing::ConnectWith(broker->target(), authority_->Client("greedy")),
                    "session-of-greedy");
  WireClient modest(testing::ConnectWith(broker->target(), authority_->Client("modest")),
                    "session-of-modest");
  std::map<std::string, int> answers;
  grpc::Status refused;
  for (int i = 0; i < 20; ++i) {
    const grpc::Status status = greedy.Discover("nothing");
    ++answers[ReasonOf(status)];
    if (ReasonOf(status) == "RATE_LIMITED") refused = status;
  }
  EXPECT_GE(answers["CHANNEL_NOT_FOUND"], 5);
  ASSERT_GE(answers["RATE_LIMITED"], 1);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(DetailIn<google::rpc::ErrorInfo>(refused).metadata().at("identity"), "greedy");
  const auto delay = DetailIn<google::rpc::RetryInfo>(refused).retry_delay();
  EXPECT_GT(delay.seconds() * 1'000'000'000LL + delay.nanos(), 0);
  EXPECT_LE(delay.seconds(), 1);
  // Its leases are kept all the same, and nobody else notices anything.
  EXPECT_EQ(ReasonOf(greedy.Heartbeat()), "OK");
  EXPECT_EQ(ReasonOf(modest.Discover("nothing")), "CHANNEL_NOT_FOUND");
}

}  // namespace
}  // namespace pylabhub::broker
