// What a policy does to a broker at work: what it hides, what it ends when it changes, and what a bad file does to it.

#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "absl/strings/str_replace.h"
#include "tests/access/policy/policy_lab.h"

namespace pylabhub::broker {
namespace {

using policy::Action;
using policy::Rule;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kProducer[] = "spiffe://lab/producer";
constexpr char kViewer[] = "spiffe://lab/viewer";

Rule Allow(const std::string& name, const std::string& principal, std::vector<Action> actions,
           const std::string& channels) {
  return {.name = name, .principals = {principal}, .actions = std::move(actions), .channels = {channels}};
}

const std::vector<Action>& Reading() {
  static const std::vector<Action> actions = {Action::kDiscover, Action::kConsume, Action::kWatch};
  return actions;
}

// The producer may register and the viewer may read all of camera.*.
std::vector<Rule> Cameras() {
  return {Allow("producers", kProducer, {Action::kRegister}, "camera.*"),
          Allow("viewers", kViewer, Reading(), "camera.*")};
}

void MakeReady(LabClient& producer, const std::string& name) {
  ASSERT_EQ(ReasonOf(producer.Register(name).status), "OK");
  ASSERT_EQ(ReasonOf(producer.Heartbeat()), "OK");
}

v1::WatchRequest WatchFor(const std::string& pattern) {
  v1::WatchRequest request;
  request.add_name_patterns(pattern);
  request.set_snapshot(true);
  return request;
}

// Skips events up to the next that is about a channel's or a consumer's end.
v1::WatchEvent NextEnd(WatchClient& stream) {
  while (auto event = stream.NextChange()) {
    if (event->kind() == v1::WATCH_EVENT_KIND_CHANNEL_CLOSING ||
        event->kind() == v1::WATCH_EVENT_KIND_CONSUMER_LEFT) {
      return *event;
    }
  }
  ADD_FAILURE() << "the stream ended: " << stream.End().error_message();
  return {};
}

TEST(PolicyEnforcementTest, WhoIsNamedByNoRuleMayDoNothingButAskWhoItIs) {
  PolicyLab lab({});
  LabClient nobody = lab.ClientOf("nobody");
  EXPECT_EQ(ReasonOf(nobody.Register("camera.left").status), "POLICY_DENIED");
  EXPECT_EQ(ReasonOf(nobody.Discover("camera.left")), "POLICY_DENIED");
  EXPECT_EQ(ReasonOf(nobody.Consume("camera.left")), "POLICY_DENIED");
  EXPECT_THAT(nobody.Snapshot({}), ElementsAre("POLICY_DENIED"));
  EXPECT_THAT(nobody.List(), IsEmpty());
  // To give up and to renew what one holds takes no right, and tells nothing.
  EXPECT_EQ(ReasonOf(nobody.Deregister("camera.left")), "NOT_REGISTERED");
  EXPECT_EQ(ReasonOf(nobody.Heartbeat()), "OK");
  v1::GetBrokerInfoResponse info;
  ASSERT_TRUE(nobody.Call(&v1::Broker::Stub::GetBrokerInfo, v1::GetBrokerInfoRequest(), info).ok());
  EXPECT_EQ(info.caller_identity(), "nobody");
}

TEST(PolicyEnforcementTest, ADenialTellsTheCallerWhatItAskedForAndTheLogTheRuleToo) {
  PolicyLab lab({{.name = "no-secrets",
                  .principals = {kViewer},
                  .actions = Reading(),
                  .channels = {"*.secret"},
                  .allows = false}});
  LabClient viewer = lab.ClientOf(kViewer);
  const grpc::Status status = viewer.Consume("camera.secret");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  const auto metadata = DetailIn<google::rpc::ErrorInfo>(status).metadata();
  EXPECT_EQ(metadata.at("identity"), kViewer);
  EXPECT_EQ(metadata.at("action"), "CONSUME");
  EXPECT_EQ(metadata.at("channel"), "camera.secret");
  EXPECT_EQ(metadata.size(), 3u);
  EXPECT_THAT(status.error_message() + status.error_details(), Not(HasSubstr("no-secrets")));
  const std::string who = std::string("identity=") + kViewer;
  EXPECT_EQ(lab.log().Count({"call ", "method=ConsumerRegister", who, "channel=camera.secret",
                             "result=POLICY_DENIED", "action=CONSUME", "rule=no-secrets (line "}),
            1);
  EXPECT_EQ(ReasonOf(viewer.Discover("camera.left")), "POLICY_DENIED");
  EXPECT_EQ(lab.log().Count(
                {"denied ", "method=Discover", who, "channel=camera.left", "action=DISCOVER", "rule=none"}),
            1);
}

TEST(PolicyEnforcementTest, WhatThereIsAndWhatThereIsNotIsDeniedInTheSameWords) {
  PolicyLab lab({});
  LabClient owner = lab.ClientOf(PolicyLab::kOwner);
  MakeReady(owner, "camera.left");
  LabClient nobody = lab.ClientOf("nobody");
  const auto told = [&](const std::string& name) {
    const grpc::Status status = nobody.Discover(name);
    return std::to_string(status.error_code()) + status.error_message();
  };
  EXPECT_EQ(told("camera.left"), absl::StrReplaceAll(told("camera.gone"), {{"camera.gone", "camera.left"}}));
}

TEST(PolicyEnforcementTest, AWatcherIsToldOfNothingThatItMayNotSee) {
  PolicyLab lab({Allow("viewers", kViewer, Reading(), "camera.*")});
  LabClient owner = lab.ClientOf(PolicyLab::kOwner);
  MakeReady(owner, "camera.left");
  MakeReady(owner, "secret.1");
  LabClient viewer = lab.ClientOf(kViewer);
  WatchClient stream(viewer.stub(), WatchFor("*"));
  EXPECT_THAT(stream.NextLines(2), ElementsAre("SNAPSHOT camera.left", "SNAPSHOT_COMPLETE"));
  MakeReady(owner, "secret.2");
  ASSERT_EQ(ReasonOf(owner.Consume("secret.1")), "OK");
  MakeReady(owner, "camera.right");
  EXPECT_THAT(stream.NextLines(2), ElementsAre("PENDING camera.right", "READY camera.right"));
  EXPECT_THAT(viewer.List(), ElementsAre("camera.left", "camera.right"));
  // Also if it names it, beside others, or comes back from an earlier revision.
  v1::WatchRequest named;
  for (const char* name : {"camera.left", "secret.1"}) named.add_name_patterns(name);
  named.set_snapshot(true);
  WatchClient by_name(viewer.stub(), named);
  EXPECT_THAT(by_name.NextLines(2), ElementsAre("SNAPSHOT camera.left", "SNAPSHOT_COMPLETE"));
  v1::WatchRequest resumed;
  resumed.set_after_revision(1);
  resumed.set_history_id(stream.history_id());
  WatchClient later(viewer.stub(), resumed);
  EXPECT_THAT(later.NextLines(3),
              ElementsAre("READY camera.left", "PENDING camera.right", "READY camera.right"));
}

TEST(PolicyEnforcementTest, AListOfFewChannelsAmongThousandsOfHiddenOnesIsWholeAndInPages) {
  PolicyLab lab({Allow("viewers", kViewer, Reading(), "camera.*")});
  LabClient owner = lab.ClientOf(PolicyLab::kOwner);
  for (int i = 0; i < 4500; ++i) {
    ASSERT_TRUE(owner.Register(absl::StrCat("a.hidden.", i)).status.ok());
  }
  for (const char* name : {"camera.1", "camera.2", "camera.3"}) ASSERT_TRUE(owner.Register(name).status.ok());
  LabClient viewer = lab.ClientOf(kViewer);
  EXPECT_THAT(viewer.List(), ElementsAre("camera.1", "camera.2", "camera.3"));
  EXPECT_THAT(viewer.List(1), ElementsAre("camera.1", "camera.2", "camera.3"));
  // There is no further page, whatever else there is.
  v1::ListChannelsRequest request;
  request.set_page_size(3);
  v1::ListChannelsResponse response;
  ASSERT_TRUE(viewer.Call(&v1::Broker::Stub::ListChannels, request, response).ok());
  EXPECT_EQ(response.channels_size(), 3);
  EXPECT_EQ(response.next_page_token(), "");
}

TEST(PolicyEnforcementTest, WhoLosesARightLosesWhatItHeldByIt) {
  PolicyLab lab(Cameras());
  LabClient producer = lab.ClientOf(kProducer);
  LabClient viewer = lab.ClientOf(kViewer);
  LabClient owner = lab.ClientOf(PolicyLab::kOwner);
  MakeReady(producer, "camera.left");
  MakeReady(producer, "camera.right");
  MakeReady(owner, "camera.owned");
  for (const char* name : {"camera.left", "camera.owned"}) ASSERT_EQ(ReasonOf(viewer.Consume(name)), "OK");
  WatchClient stream(owner.stub(), WatchFor("*"));
  while (stream.NextLine() != "SNAPSHOT_COMPLETE") {
  }

  // The producer keeps camera.right, and the viewer what the owner produces.
  lab.Enforce({Allow("producers", kProducer, {Action::kRegister}, "camera.right"),
               Allow("viewers", kViewer, Reading(), "camera.owned")});
  EXPECT_EQ(producer.WhyLost("camera.left"), "LOSS_REASON_REVOKED");
  EXPECT_EQ(producer.WhyLost("camera.right"), "held");
  const v1::WatchEvent closing = NextEnd(stream);
  EXPECT_EQ(closing.channel().spec().name(), "camera.left");
  EXPECT_EQ(closing.channel().close_reason(), v1::CLOSE_REASON_REVOKED);
  const v1::WatchEvent left = NextEnd(stream);
  EXPECT_EQ(left.channel().spec().name(), "camera.left");
  EXPECT_EQ(left.consumer().identity(), kViewer);
  v1::Channel owned;
  ASSERT_EQ(ReasonOf(owner.Discover("camera.owned", &owned)), "OK");
  EXPECT_EQ(owned.consumer_count(), 1u);
  EXPECT_EQ(ReasonOf(producer.Register("camera.left").status), "POLICY_DENIED");
  EXPECT_EQ(lab.log().Count({"rights_revoked channels=1 consumers=1"}), 1);
}

TEST(PolicyEnforcementTest, AWatchEndsWhenAndOnlyWhenItsCallerMaySeeOtherChannelsThanBefore) {
  PolicyLab lab(Cameras());
  LabClient owner = lab.ClientOf(PolicyLab::kOwner);
  MakeReady(owner, "camera.left");
  MakeReady(owner, "sensor");
  LabClient viewer = lab.ClientOf(kViewer);
  auto stream = std::make_unique<WatchClient>(viewer.stub(), WatchFor("*"));
  WatchClient undisturbed(owner.stub(), WatchFor("*"));
  EXPECT_THAT(stream->NextLines(2), ElementsAre("SNAPSHOT camera.left", "SNAPSHOT_COMPLETE"));
  EXPECT_THAT(undisturbed.NextLines(3),
              ElementsAre("SNAPSHOT camera.left", "SNAPSHOT sensor", "SNAPSHOT_COMPLETE"));

  std::vector<Rule> rules = Cameras();
  rules.push_back(Allow("sensors", kViewer, {Action::kDiscover}, "sensor"));
  lab.Enforce(rules);
  MakeReady(owner, "camera.right");
  // What it may discover besides changes nothing to what it may be told.
  EXPECT_THAT(stream->NextLines(2), ElementsAre("PENDING camera.right", "READY camera.right"));

  rules.back().actions = Reading();
  lab.Enforce(rules);
  EXPECT_EQ(ReasonOf(stream->End()), "REVISION_COMPACTED");
  // From where it was it cannot go on, since there is more now than it was told.
  v1::WatchRequest resumed;
  resumed.set_after_revision(1);
  resumed.set_history_id(stream->history_id());
  EXPECT_EQ(ReasonOf(WatchClient(viewer.stub(), resumed).End()), "REVISION_COMPACTED");
  stream = std::make_unique<WatchClient>(viewer.stub(), WatchFor("*"));
  EXPECT_THAT(stream->NextLines(4), ElementsAre("SNAPSHOT camera.left", "SNAPSHOT camera.right",
                                                "SNAPSHOT sensor", "SNAPSHOT_COMPLETE"));

  lab.Enforce({});
  EXPECT_EQ(ReasonOf(stream->End()), "POLICY_DENIED");
  MakeReady(owner, "last");
  EXPECT_THAT(undisturbed.NextLines(4),
              ElementsAre("PENDING camera.right", "READY camera.right", "PENDING last", "READY last"));
}

TEST(PolicyEnforcementTest, ANewFileIsFollowedHoweverItIsReplaced) {
  PolicyLab lab(Cameras());
  LabClient nobody = lab.ClientOf("nobody");
  const auto reason = [&] { return ReasonOf(nobody.Discover("camera.left")); };
  const std::vector<Rule> allowing = {Allow("everybody", "*", {Action::kDiscover}, "*")};
  EXPECT_EQ(reason(), "POLICY_DENIED");
  // By a rename.
  lab.WritePolicy(allowing);
  lab.AwaitPolicy(2);
  EXPECT_EQ(reason(), "CHANNEL_NOT_FOUND");
  // In place.
  std::ofstream(lab.policy_file()) << PolicyLab::TextOf(Cameras());
  lab.AwaitPolicy(3);
  EXPECT_EQ(reason(), "POLICY_DENIED");
  // By a link that is turned, one folder above the file.
  std::vector<Rule> others = Cameras();
  others.push_back(Allow("others", "nobody", {Action::kDiscover}, "other"));
  for (const auto& [folder, rules] : {std::pair("one", others), std::pair("two", allowing)}) {
    std::filesystem::create_directory(lab.folder() + folder);
    std::ofstream(lab.folder() + folder + "/policy") << PolicyLab::TextOf(rules);
  }
  std::filesystem::create_symlink("one", lab.folder() + "data");
  std::filesystem::create_symlink("data/policy", lab.folder() + "link");
  std::filesystem::rename(lab.folder() + "link", lab.policy_file());
  lab.AwaitPolicy(4);
  EXPECT_EQ(reason(), "POLICY_DENIED");
  std::filesystem::create_symlink("two", lab.folder() + "data2");
  std::filesystem::rename(lab.folder() + "data2", lab.folder() + "data");
  lab.AwaitPolicy(5);
  EXPECT_EQ(reason(), "CHANNEL_NOT_FOUND");
}

TEST(PolicyEnforcementTest, ABadFileIsRefusedWithTheReasonAndThePolicyBeforeStands) {
  PolicyLab lab(Cameras());
  LabClient producer = lab.ClientOf(kProducer);
  MakeReady(producer, "camera.left");
  const auto expect_that_nothing_changed = [&] {
    EXPECT_EQ(producer.WhyLost("camera.left"), "held");
    EXPECT_EQ(ReasonOf(producer.Register("sensor").status), "POLICY_DENIED");
  };
  std::ofstream(lab.policy_file()) << "rules { nonsense: 1 }";
  const std::vector<std::string> nonsense = {"policy_refused", "the policy before stands",
                                             "policy.textproto:1:", "no field named \"nonsense\""};
  EXPECT_TRUE(lab.log().Await(nonsense));
  expect_that_nothing_changed();
  const absl::Status status = lab.broker().ReloadPolicy();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("nonsense"));
  // One that is gone is no better.
  std::filesystem::remove(lab.policy_file());
  EXPECT_TRUE(lab.log().Await({"policy_refused", "No such file"}));
  expect_that_nothing_changed();
  EXPECT_EQ(lab.log().Count(nonsense), 1);
  EXPECT_EQ(lab.log().Count({"policy_refused", "No such file"}), 1);
  lab.WritePolicy(Cameras());
  EXPECT_TRUE(lab.broker().ReloadPolicy().ok());
  expect_that_nothing_changed();
}

TEST(PolicyEnforcementTest, AFileThatIsWrittenPieceByPieceCountsOnceItIsWhole) {
  PolicyLab lab(Cameras());
  LabClient producer = lab.ClientOf(kProducer);
  MakeReady(producer, "camera.left");
  std::vector<Rule> rules = Cameras();
  rules.push_back(Allow("more", kProducer, {Action::kRegister}, "sensor"));
  const std::string whole = PolicyLab::TextOf(rules);
  const std::string piece = whole.substr(0, whole.find("channels", whole.find("\"viewers\"")));
  std::ofstream file(lab.policy_file(), std::ios::trunc);
  file << piece << std::flush;
  // Long enough to be looked at and refused.
  EXPECT_TRUE(lab.log().Await({"policy_refused"}));
  EXPECT_EQ(producer.WhyLost("camera.left"), "held");
  EXPECT_EQ(ReasonOf(producer.Register("sensor").status), "POLICY_DENIED");
  file << whole.substr(piece.size()) << std::flush;
  lab.AwaitPolicy(2);
  EXPECT_EQ(ReasonOf(producer.Register("sensor").status), "OK");
  EXPECT_EQ(producer.WhyLost("camera.left"), "held");
}

TEST(PolicyEnforcementTest, ABrokerDoesNotStartWithABadPolicyNorWithAdministratorsBesideOne) {
  const testing::TestAuthority authority;
  const testing::TempFolder folder;
  std::ofstream(folder / "policy") << "rules { name: \"a\" }";
  BrokerOptions options;
  options.tls = authority.Server();
  options.policy_file = folder / "policy";
  const absl::Status bad = StartBroker(options).status();
  EXPECT_EQ(bad.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(bad.message()),
              HasSubstr("policy:1:1: rule \"a\": principals: at least one is needed"));
  options.admins = {"operator"};
  EXPECT_EQ(StartBroker(options).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(PolicyEnforcementTest, ChannelzIsForAdministratorsOfTheWholeBrokerAlone) {
  PolicyLab lab({Allow("some-admin", "half", {Action::kAdmin}, "camera.*")}, {.channelz = true});
  const auto ask = [&](const std::string& identity) {
    grpc::GenericStub stub(lab.ConnectionOf(identity));
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    grpc::CompletionQueue queue;
    const grpc::Slice no_fields;
    const grpc::ByteBuffer request(&no_fields, 1);
    grpc::ByteBuffer answer;
    grpc::Status status;
    const auto call =
        stub.PrepareUnaryCall(&context, "/grpc.channelz.v1.Channelz/GetServers", request, &queue);
    call->StartCall();
    call->Finish(&answer, &status, nullptr);
    void* tag = nullptr;
    bool ok = false;
    EXPECT_TRUE(queue.Next(&tag, &ok));
    return status;
  };
  EXPECT_TRUE(ask(PolicyLab::kOwner).ok()) << ask(PolicyLab::kOwner).error_message();
  for (const char* other : {"nobody", "half"}) {
    EXPECT_EQ(ask(other).error_code(), grpc::StatusCode::PERMISSION_DENIED) << other;
  }
}

TEST(PolicyEnforcementTest, AfterARestartNobodyHoldsWhatThePolicyNoLongerAllows) {
  const testing::TempFolder store;
  PolicyLab lab(Cameras(), {.store_folder = store / ""});
  {
    LabClient producer = lab.ClientOf(kProducer);
    MakeReady(producer, "camera.left");
    MakeReady(producer, "camera.right");
  }
  lab.Stop();
  lab.WritePolicy({Allow("producers", kProducer, {Action::kRegister}, "camera.right")});
  lab.Start();
  LabClient producer = lab.ClientOf(kProducer);
  EXPECT_EQ(producer.WhyLost("camera.left"), "LOSS_REASON_REVOKED");
  EXPECT_EQ(producer.WhyLost("camera.right"), "held");
}

// Waits until `count`, which others raise and notify of, is above `limit`.
void AwaitAbove(int limit, const std::atomic<int>& count) {
  for (int seen = count; seen <= limit; seen = count) count.wait(seen);
}

TEST(PolicyEnforcementTest, WhileThePolicyChangesUnderLoadNobodyKeepsWhatTheLastOneDenies) {
  PolicyLab lab(Cameras());
  LabClient owner = lab.ClientOf(PolicyLab::kOwner);
  MakeReady(owner, "camera.owned");
  std::atomic<bool> stopping = false;
  std::atomic<int> granted = 0;
  std::atomic<int> denied = 0;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 3; ++thread) {
    threads.emplace_back(
        [&, thread,
         producer = std::make_shared<LabClient>(lab.ClientOf(kProducer, absl::StrCat("session", thread))),
         viewer = std::make_shared<LabClient>(lab.ClientOf(kViewer, absl::StrCat("session", thread)))] {
          const std::string name = absl::StrCat("camera.", thread);
          while (!stopping) {
            for (const std::string& reason :
                 {ReasonOf(producer->Register(name).status),
                  ReasonOf(viewer->Consume("camera.owned", absl::StrCat(thread)))}) {
              EXPECT_TRUE(reason == "OK" || reason == "POLICY_DENIED") << reason;
              ++(reason == "OK" ? granted : denied);
              granted.notify_all();
            }
          }
        });
  }
  const auto held_by_others = [&] {
    v1::ListSessionsResponse sessions;
    EXPECT_TRUE(
        owner.CallOn(owner.admin(), &v1::Admin::Stub::ListSessions, v1::ListSessionsRequest(), sessions)
            .ok());
    int held = 0;
    for (const v1::Session& session : sessions.sessions()) {
      if (session.identity() != PolicyLab::kOwner)
        held += session.channel_names_size() + session.consumers_size();
    }
    return held;
  };
  for (int round = 0; round < 40; ++round) {
    lab.Enforce({});
    // From here on until the next policy, nobody holds anything, whatever was on its way.
    EXPECT_EQ(held_by_others(), 0);
    const int before = granted;
    lab.Enforce(Cameras());
    AwaitAbove(before, granted);
  }
  lab.Enforce({});
  stopping = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(held_by_others(), 0);
  EXPECT_GT(denied, 40);
}

TEST(PolicyEnforcementTest, AnIdentityThatIsDeniedOverAndOverHoldsNobodyUpAndDoesNotFillTheLog) {
  PolicyLab lab(Cameras());
  LabClient producer = lab.ClientOf(kProducer);
  MakeReady(producer, "camera.left");
  LabClient viewer = lab.ClientOf(kViewer);
  std::atomic<bool> stopping = false;
  std::atomic<int> denied = 0;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, client = std::make_shared<LabClient>(lab.ClientOf("nobody"))] {
      while (!stopping) {
        const std::string reason = ReasonOf(client->Discover("camera.left"));
        EXPECT_TRUE(reason == "POLICY_DENIED" || reason == "RATE_LIMITED") << reason;
        ++denied;
        denied.notify_all();
      }
    });
  }
  AwaitAbove(100, denied);
  const absl::Time start = absl::Now();
  for (int i = 0; i < 200; ++i) ASSERT_EQ(ReasonOf(viewer.Discover("camera.left")), "OK");
  AwaitAbove(2000, denied);
  stopping = true;
  for (std::thread& thread : threads) thread.join();
  // One a second at most, and the first; the test itself may take long on a busy machine.
  const auto seconds = static_cast<int>(absl::ToInt64Seconds(absl::Now() - start));
  EXPECT_LE(lab.log().Count({"denied ", "identity=nobody"}), seconds + 15);
}

}  // namespace
}  // namespace pylabhub::broker
