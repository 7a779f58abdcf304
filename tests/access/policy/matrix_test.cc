// Identities x what can be asked x channels x ways in: each cell is a call to a broker over mutual TLS, and what it must
// answer comes from the policy by an evaluator that shares nothing with the broker's.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "proto/handover/caller.h"
#include "tests/access/policy/policy_lab.h"
#include "tests/broker/handover/bundle.h"
#include "tests/support/seed.h"

namespace pylabhub::broker {
namespace {

using policy::Action;
using policy::Rule;
using testing::ModelAllows;

const std::vector<std::string>& Identities() {
  static const std::vector<std::string> identities = {PolicyLab::kOwner,
                                                      "spiffe://lab/camera/left",
                                                      "spiffe://lab/camera/right",
                                                      "spiffe://lab/viewer",
                                                      "spiffe://labs/viewer",
                                                      "robot.lab.example",
                                                      "operator",
                                                      "nobody"};
  return identities;
}

const std::vector<std::string>& Channels() {
  static const std::vector<std::string> channels = {"camera.left", "camera.left.raw", "camera.secret",
                                                    "robot.arm", "sensor"};
  return channels;
}

std::vector<Rule> WrittenRules() {
  return {
      {.name = "secret",
       .principals = {"spiffe://lab/*", "*.example"},
       .actions = {Action::kDiscover, Action::kConsume, Action::kWatch, Action::kSchema},
       .channels = {"*.secret"},
       .allows = false},
      {.name = "cameras",
       .principals = {"spiffe://lab/camera/*"},
       .actions = {Action::kRegister, Action::kDiscover, Action::kSchema},
       .channels = {"camera.*"}},
      {.name = "left-takes-over",
       .principals = {"spiffe://lab/camera/left"},
       .actions = {Action::kForce},
       .channels = {"camera.left"}},
      {.name = "viewers",
       .principals = {"spiffe://lab/viewer"},
       .actions = {Action::kDiscover, Action::kConsume, Action::kWatch},
       .channels = {"camera.*", "sensor"}},
      {.name = "robots",
       .principals = {"*.lab.example"},
       .actions = {Action::kRegister, Action::kDiscover, Action::kConsume, Action::kWatch, Action::kForce},
       .channels = {"robot.???", "camera.*"}},
      {.name = "operators",
       .principals = {"operator"},
       .actions = {Action::kAdmin, Action::kDiscover},
       .channels = {"*"}},
      {.name = "camera-admin",
       .principals = {"spiffe://lab/camera/right"},
       .actions = {Action::kAdmin},
       .channels = {"camera.*"}}};
}

// Over the identities and channels of the matrix.
std::vector<Rule> RandomRulesForMatrix(std::mt19937_64& random) {
  const std::vector<std::string> principals = {"*",   "spiffe://lab/*", "spiffe://lab?/viewer",  "*.example",
                                               "*o*", "operator",       "spiffe://lab/camera/*", "robot*"};
  const std::vector<std::string> channels = {"*",   "camera.*",  "camera.left", "*.secret",
                                             "*t*", "robot.a?m", "s*r"};
  std::vector<Rule> rules;
  for (int i = 0; i < 12; ++i) {
    Rule rule{.name = absl::StrCat("rule", i),
              .principals = {principals[random() % principals.size()]},
              .channels = {channels[random() % channels.size()]},
              .allows = random() % 3 != 0};
    for (size_t action = 0; action < policy::kActionCount; ++action) {
      if (random() % 2 == 0) rule.actions.push_back(static_cast<Action>(action));
    }
    if (rule.actions.empty()) rule.actions.push_back(Action::kWatch);
    rules.push_back(std::move(rule));
  }
  return rules;
}

v1::Schema AnySchema() {
  v1::Schema schema;
  schema.set_name("Reading");
  schema.set_size_bytes(8);
  v1::Field& field = *schema.add_fields();
  field.set_name("value");
  field.set_type(v1::FIELD_TYPE_FLOAT64);
  field.set_count(1);
  return schema;
}

// How a client comes in; and by the socket on which memory is handed over, to whom policy gives a ticket.
struct WayIn {
  const char* name;
  bool local;
};
constexpr WayIn kWaysIn[] = {{"TCP", false}, {"Unix socket", true}};

// More than there are identities: each gets one of its own.
constexpr uint32_t kParts = 16;

class MatrixTest : public ::testing::Test {
 protected:
  MatrixTest() : lab_({}), owner_(lab_.ClientOf(PolicyLab::kOwner, "owners-own")) {
    for (const std::string& channel : Channels()) Take(channel);
  }

  static v1::RegisterRequest Registration(const LabClient& client, const std::string& channel, char segment) {
    v1::RegisterRequest request;
    request.set_session_id(client.session_id());
    request.mutable_channel()->set_name(channel);
    *request.mutable_channel()->mutable_schema() = AnySchema();
    request.mutable_channel()->set_schema_hash(schema::HashOf(AnySchema()));
    request.mutable_channel()->set_segment_id(std::string(16, segment));
    request.set_force(true);
    return request;
  }

  // The owner registers the channel, whoever holds it.
  void Take(const std::string& channel) {
    ASSERT_EQ(ReasonOf(owner_.Register(Registration(owner_, channel, 'o')).status), "OK");
    ASSERT_EQ(ReasonOf(owner_.Heartbeat()), "OK");
  }

  // How far somebody gets with memory for the channel: "OK" when the broker has it; why not.
  std::string Bring(LabClient& client, const std::string& channel, char segment) const {
    v1::RegisterRequest request = Registration(client, channel, segment);
    request.mutable_channel()->mutable_shared_memory()->set_kind(v1::SHARED_MEMORY_KIND_HANDED_OVER);
    const auto registered = client.Register(request);
    const std::string& ticket = registered.response.hand_over().ticket();
    if (!registered.status.ok())
      return ticket.empty() ? ReasonOf(registered.status) : "refused with a ticket";
    const testing::Bundle bundle = testing::Whole(ticket, kParts);
    return Reason(Ask(bundle.request, bundle.numbers()));
  }

  // How far somebody gets towards the channel's memory: "OK" when its three pieces are there.
  std::string Fetch(LabClient& client, const std::string& channel) const {
    v1::ConsumerRegisterRequest request;
    request.set_session_id(client.session_id());
    request.set_channel_name(channel);
    v1::ConsumerRegisterResponse response;
    const grpc::Status registered = client.Call(&v1::Broker::Stub::ConsumerRegister, request, response);
    const std::string& ticket = response.hand_over().ticket();
    if (!registered.ok()) return ticket.empty() ? ReasonOf(registered) : "refused with a ticket";
    v1::HandOverRequest collect;
    collect.mutable_collect()->set_ticket(ticket);
    const handover::Answer answer = Ask(collect, {});
    const bool has_memory = !answer.descriptors.empty();
    if (has_memory != (answer.descriptors.size() == 3)) return "some of the memory";
    return Reason(answer) == "OK" && !has_memory ? "nothing" : Reason(answer);
  }

  handover::Answer Ask(const v1::HandOverRequest& request, const std::vector<int>& descriptors) const {
    const absl::Time deadline = handover::SteadyNow() + absl::Seconds(20);
    auto caller = handover::Caller::Connect(lab_.hand_over_socket(), deadline);
    EXPECT_TRUE(caller.ok()) << caller.status();
    if (!caller.ok()) return {};
    absl::StatusOr<handover::Answer> answer = caller->Ask(request, descriptors, deadline);
    EXPECT_TRUE(answer.ok()) << answer.status();
    return answer.ok() ? *std::move(answer) : handover::Answer();
  }
  static std::string Reason(const handover::Answer& answer) {
    if (answer.message.status().code() == 0) return "OK";
    return DetailIn<google::rpc::ErrorInfo>(answer.message.status()).reason();
  }

  // A cell: what was answered is what had to be.
  void Expect(const std::string& what, const std::string& answered, const std::string& expected) {
    ++cells_;
    allowed_ += expected != "POLICY_DENIED" ? 1 : 0;
    EXPECT_EQ(answered, expected) << what << "\n" << PolicyLab::TextOf(rules_);
  }

  void CheckEveryCell() {
    for (const WayIn& way : kWaysIn) {
      for (const std::string& identity : Identities()) {
        identity_ = identity;
        LabClient client = lab_.ClientOf(identity, "matrix", way.local);
        const std::string who = absl::StrCat(identity, " over ", way.name);
        for (const std::string& channel : Channels())
          CheckChannel(client, absl::StrCat(who, ", ", channel), channel);
        CheckLists(client, who);
      }
    }
    for (const std::string& channel : Channels()) CheckHandOver(channel);
  }

  // With each channel's memory in the broker's hands: who is given it, and whose takes its place.
  void CheckHandOver(const std::string& channel) {
    ASSERT_EQ(Bring(owner_, channel, 'h'), "OK");
    ASSERT_EQ(ReasonOf(owner_.Heartbeat()), "OK");
    for (const std::string& identity : Identities()) {
      identity_ = identity;
      LabClient client = lab_.ClientOf(identity, "matrix");
      Expect(absl::StrCat("CONSUME by ", identity, " over the hand-over, ", channel), Fetch(client, channel),
             IfAllowed(Action::kConsume, channel));
    }
    for (const std::string& identity : Identities()) {
      identity_ = identity;
      LabClient client = lab_.ClientOf(identity, "matrix");
      const bool may_force = identity == PolicyLab::kOwner || Allows(Action::kForce, channel);
      Expect(absl::StrCat("FORCE by ", identity, " over the hand-over, ", channel),
             Bring(client, channel, 'x'),
             IfAllowed(Action::kRegister, channel, may_force ? "OK" : "FORCE_DENIED"));
      ASSERT_EQ(Bring(owner_, channel, 'h'), "OK");
    }
  }

  bool Allows(Action action, const std::string& channel) const {
    return ModelAllows(PolicyLab::WithOwner(rules_), identity_, action, channel);
  }
  std::string IfAllowed(Action action, const std::string& channel, const std::string& answer = "OK") const {
    return Allows(action, channel) ? answer : "POLICY_DENIED";
  }

  void CheckChannel(LabClient& client, const std::string& who, const std::string& channel) {
    CheckLookups(client, who, channel);
    Expect("CONSUME by " + who, ReasonOf(client.Consume(channel)), IfAllowed(Action::kConsume, channel));
    client.StopConsuming(channel);
    CheckSchemas(client, who, channel);
    // An epoch that nobody has, so that nothing is closed.
    v1::CloseChannelRequest close;
    close.set_name(channel);
    close.set_epoch(uint64_t{1} << 60);
    v1::CloseChannelResponse closed;
    Expect("ADMIN by " + who,
           ReasonOf(client.CallOn(client.admin(), &v1::Admin::Stub::CloseChannel, close, closed)),
           IfAllowed(Action::kAdmin, channel, "STALE_EPOCH"));
    CheckRegistrations(client, who, channel);
  }

  void CheckLookups(LabClient& client, const std::string& who, const std::string& channel) {
    Expect("DISCOVER by " + who, ReasonOf(client.Discover(channel)), IfAllowed(Action::kDiscover, channel));
    // What there is none of is denied in the same words.
    Expect("DISCOVER of nothing by " + who, ReasonOf(client.Discover(channel + ".x")),
           IfAllowed(Action::kDiscover, channel + ".x", "CHANNEL_NOT_FOUND"));
    v1::DiscoverRequest batch;
    batch.add_names(channel);
    v1::DiscoverResponse found;
    ASSERT_TRUE(client.Call(&v1::Broker::Stub::Discover, batch, found).ok());
    const v1::DiscoverResult& result = found.results(0);
    Expect("DISCOVER in a batch by " + who,
           result.has_error() ? DetailIn<google::rpc::ErrorInfo>(result.error()).reason() : "OK",
           IfAllowed(Action::kDiscover, channel));
    const std::vector<std::string> told = client.Snapshot({channel});
    Expect("WATCH by " + who, told.empty() ? "nothing" : told.front(),
           IfAllowed(Action::kWatch, channel, channel));
  }

  void CheckSchemas(LabClient& client, const std::string& who, const std::string& channel) {
    v1::GetSchemaRequest get;
    get.set_name(channel);
    v1::GetSchemaResponse got;
    Expect("SCHEMA by " + who,
           ReasonOf(client.CallOn(client.schemas(), &v1::SchemaRegistry::Stub::GetSchema, get, got)),
           IfAllowed(Action::kSchema, channel));
    v1::RegisterSchemaRequest put;
    put.set_name(channel);
    *put.mutable_schema() = AnySchema();
    v1::RegisterSchemaResponse kept;
    Expect("SCHEMA and REGISTER by " + who,
           ReasonOf(client.CallOn(client.schemas(), &v1::SchemaRegistry::Stub::RegisterSchema, put, kept)),
           Allows(Action::kSchema, channel) && Allows(Action::kRegister, channel) ? "OK" : "POLICY_DENIED");
    v1::CheckSchemaCompatibilityRequest check;
    check.set_name(channel);
    *check.mutable_schema() = AnySchema();
    v1::CheckSchemaCompatibilityResponse checked;
    Expect("SCHEMA comparison by " + who,
           ReasonOf(client.CallOn(client.schemas(), &v1::SchemaRegistry::Stub::CheckSchemaCompatibility,
                                  check, checked)),
           IfAllowed(Action::kSchema, channel));
  }

  void CheckRegistrations(LabClient& client, const std::string& who, const std::string& channel) {
    const std::string hash = schema::HashOf(AnySchema());
    Expect("REGISTER by " + who, ReasonOf(client.Register(channel, hash).status),
           IfAllowed(Action::kRegister, channel, "CHANNEL_HELD"));
    const bool may_force = identity_ == PolicyLab::kOwner || Allows(Action::kForce, channel);
    Expect("FORCE by " + who, ReasonOf(client.Register(channel, hash, 's', /*force=*/true).status),
           IfAllowed(Action::kRegister, channel, may_force ? "OK" : "FORCE_DENIED"));
    Take(channel);
  }

  void CheckLists(LabClient& client, const std::string& who) {
    const auto visible = [&](Action action) {
      std::vector<std::string> names;
      for (const std::string& channel : Channels()) {
        if (Allows(action, channel)) names.push_back(channel);
      }
      return absl::StrJoin(names, " ");
    };
    Expect("ListChannels by " + who, absl::StrJoin(client.List(), " "), visible(Action::kDiscover));
    Expect("ListChannels, two a page, by " + who, absl::StrJoin(client.List(2), " "),
           visible(Action::kDiscover));
    const std::string told = absl::StrJoin(client.Snapshot({}), " ");
    Expect("WATCH of everything by " + who, told == "POLICY_DENIED" ? "" : told, visible(Action::kWatch));
    v1::ListSchemasResponse schemas;
    ASSERT_TRUE(client
                    .CallOn(client.schemas(), &v1::SchemaRegistry::Stub::ListSchemas,
                            v1::ListSchemasRequest(), schemas)
                    .ok());
    std::vector<std::string> names;
    for (const v1::SchemaVersion& version : schemas.schema_versions()) names.push_back(version.name());
    Expect("ListSchemas by " + who, absl::StrJoin(names, " "), visible(Action::kSchema));
    v1::ListSessionsResponse sessions;
    Expect("ADMIN of the whole broker by " + who,
           ReasonOf(client.CallOn(client.admin(), &v1::Admin::Stub::ListSessions, v1::ListSessionsRequest(),
                                  sessions)),
           IfAllowed(Action::kAdmin, ""));
  }

  PolicyLab lab_;
  LabClient owner_;
  std::vector<Rule> rules_;
  std::string identity_;
  int cells_ = 0;
  int allowed_ = 0;
};

TEST_F(MatrixTest, EveryCellIsAsThePolicySays) {
  rules_ = WrittenRules();
  lab_.Enforce(rules_);
  CheckEveryCell();
  EXPECT_GE(cells_, 500);
  EXPECT_GT(allowed_, cells_ / 10);
  EXPECT_LT(allowed_, cells_ * 9 / 10);
}

TEST_F(MatrixTest, EveryCellIsAsAPolicyAtRandomSays) {
  std::mt19937_64 random(testing::Seed());
  rules_ = RandomRulesForMatrix(random);
  lab_.Enforce(rules_);
  CheckEveryCell();
  EXPECT_GE(cells_, 500);
}

}  // namespace
}  // namespace pylabhub::broker
