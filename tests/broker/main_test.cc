// pylabhub-broker as a process: flags, files, signals, exit codes.

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "proto/tls/certificate_set.h"
#include "proto/tls/revocation_file.h"
#include "tests/broker/http_get.h"
#include "tests/broker/notify_socket.h"
#include "tests/broker/watch_client.h"
#include "tests/broker/wire_fixture.h"
#include "tests/support/program.h"
#include "tests/support/temp_folder.h"

namespace pylabhub::broker {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing::Program;
using testing::TempFolder;

constexpr char kBroker[] = "broker/pylabhub-broker";
constexpr char kListening[] = "listening on ";

std::string Contents(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

mode_t ModeOf(const std::string& path) {
  struct stat status = {};
  EXPECT_EQ(stat(path.c_str(), &status), 0) << path;
  return status.st_mode & 07777;
}

// Where a broker that starts says that it listens.
std::string TargetOf(Program& broker) {
  const std::string line = broker.ReadLine();
  EXPECT_THAT(line, ::testing::StartsWith(kListening)) << broker.errors();
  return line.substr(std::min(line.size(), sizeof(kListening) - 1));
}

grpc::Status CallWith(const std::string& target, const std::string& folder) {
  const auto files = tls::LoadTlsFiles(tls::ClientPathsIn(folder));
  if (!files.ok()) return {grpc::StatusCode::INTERNAL, files.status().ToString()};
  v1::GetBrokerInfoResponse response;
  return WireClient(testing::ConnectWith(target, *files), "any-session")
      .Call(&v1::Broker::Stub::GetBrokerInfo, v1::GetBrokerInfoRequest(), response);
}

TEST(MainTest, TheFirstStartMakesAPrivateSetOfCertificatesThatAClientCanUse) {
  const TempFolder folder;
  Program broker({kBroker, "--port=0", "--state-dir=" + (folder / "state")});
  const std::string target = TargetOf(broker);
  const std::string certs = folder / "state/certs";
  EXPECT_EQ(ModeOf(certs), 0700u);
  for (const char* name : {"ca.key", "ca.pem", "server.key", "server.pem", "client.key", "client.pem"}) {
    EXPECT_EQ(ModeOf(certs + "/" + name), 0600u) << name;
  }
  EXPECT_THAT(broker.errors(), HasSubstr("copy_to_clients=\"" + certs + "/ca.pem "));
  const grpc::Status status = CallWith(target, certs);
  EXPECT_TRUE(status.ok()) << status.error_message();
  broker.Signal(SIGTERM);
  EXPECT_EQ(broker.Wait(), 0);
}

TEST(MainTest, TheSecondStartUsesTheCertificatesOfTheFirst) {
  const TempFolder folder;
  std::string ca;
  for (int start = 0; start < 2; ++start) {
    Program broker({kBroker, "--port=0", "--state-dir=" + folder.path()});
    EXPECT_TRUE(CallWith(TargetOf(broker), folder / "certs").ok());
    const std::string now = Contents(folder / "certs/ca.pem");
    if (start == 1) {
      EXPECT_EQ(now, ca);
    }
    ca = now;
    broker.Signal(SIGINT);
    EXPECT_EQ(broker.Wait(), 0);
  }
}

TEST(MainTest, ThePortIsWrittenToAFileThatGoesWithTheBroker) {
  const TempFolder folder;
  const std::string port_file = folder / "port";
  Program broker({kBroker, "--port=0", "--state-dir=" + folder.path(), "--port-file=" + port_file});
  const std::string target = TargetOf(broker);
  EXPECT_EQ("127.0.0.1:" + Contents(port_file), target + "\n");
  broker.Signal(SIGTERM);
  EXPECT_EQ(broker.Wait(), 0);
  EXPECT_FALSE(std::filesystem::exists(port_file));
  EXPECT_THAT(broker.errors(), HasSubstr("event=stopped"));
}

TEST(MainTest, OnSigtermWatchersAreToldCallsAreFinishedAndItEndsSoon) {
  const TempFolder folder;
  Program broker({kBroker, "--port=0", "--state-dir=" + folder.path()});
  const std::string target = TargetOf(broker);
  const auto files = tls::LoadTlsFiles(tls::ClientPathsIn(folder / "certs"));
  ASSERT_TRUE(files.ok()) << files.status();
  const auto channel = testing::ConnectWith(target, *files);
  const auto stub = v1::Broker::NewStub(channel);
  v1::WatchRequest everything;
  everything.set_snapshot(true);
  // One that reads, and one that never does.
  WatchClient reader(*stub, everything);
  EXPECT_EQ(reader.NextLine(), "SNAPSHOT_COMPLETE");
  WatchClient sleeper(*stub, everything);
  WireClient client(channel, "session-of-client");
  EXPECT_EQ(ReasonOf(client.Register("a").status), "OK");
  EXPECT_EQ(reader.NextLine(), "PENDING a");

  const auto told = std::chrono::steady_clock::now();
  broker.Signal(SIGTERM);
  EXPECT_EQ(ReasonOf(reader.End()), "SHUTTING_DOWN");
  EXPECT_EQ(broker.Wait(), 0);
  EXPECT_LT(std::chrono::steady_clock::now() - told, std::chrono::seconds(10));
  EXPECT_EQ(ReasonOf(sleeper.End()), "SHUTTING_DOWN");
  EXPECT_THAT(broker.errors(), HasSubstr("event=stopped"));
}

TEST(MainTest, ASecondBrokerOnOnePortEndsWithAClearError) {
  const TempFolder folder;
  Program first({kBroker, "--port=0", "--state-dir=" + folder.path()});
  const std::string target = TargetOf(first);
  const std::string port = target.substr(target.rfind(':') + 1);
  Program second({kBroker, "--port=" + port, "--state-dir=" + folder.path(), "--store=none"});
  EXPECT_EQ(second.ReadLine(), "");
  EXPECT_EQ(second.Wait(), 1);
  EXPECT_THAT(second.errors(), HasSubstr("event=cannot_start"));
  EXPECT_THAT(second.errors(), HasSubstr("the port is taken"));
  EXPECT_TRUE(CallWith(target, folder / "certs").ok());
}

TEST(MainTest, HealthSaysWhetherABrokerServesAndWhyNot) {
  const TempFolder folder;
  const std::string certs = "--certs=" + (folder / "certs");
  Program broker({kBroker, "--port=0", "--state-dir=" + folder.path()});
  const std::string target = TargetOf(broker);
  Program serving({kBroker, "health", target, certs});
  EXPECT_EQ(serving.Wait(), 0) << serving.errors();

  ASSERT_TRUE(tls::CreateCertificateSet(folder / "others").ok());
  Program stranger({kBroker, "health", target, "--certs=" + (folder / "others")});
  EXPECT_EQ(stranger.Wait(), 1);
  EXPECT_THAT(stranger.errors(), HasSubstr(target));

  broker.Signal(SIGTERM);
  ASSERT_EQ(broker.Wait(), 0);
  Program gone({kBroker, "health", target, certs});
  EXPECT_EQ(gone.Wait(), 1);
  EXPECT_THAT(gone.errors(), HasSubstr("error: " + target));
  Program nonsense({kBroker, "health", "--sert=x"});
  EXPECT_EQ(nonsense.Wait(), 2);
}

TEST(MainTest, AServiceManagerIsToldOfStartLifeReloadAndEnd) {
  const TempFolder folder("/tmp");
  const testing::NotifySocket manager(folder / "notify");
  setenv("NOTIFY_SOCKET", (folder / "notify").c_str(), 1);
  setenv("WATCHDOG_USEC", "100000", 1);
  Program broker({kBroker, "--port=0", "--state-dir=" + (folder / "state")});
  unsetenv("NOTIFY_SOCKET");
  unsetenv("WATCHDOG_USEC");
  EXPECT_EQ(manager.Read(), "READY=1\nSTATUS=" + broker.ReadLine());
  EXPECT_EQ(manager.Read(), "WATCHDOG=1");
  EXPECT_EQ(manager.Read(), "WATCHDOG=1");

  const auto next_but_alive = [&] {
    std::string told = manager.Read();
    while (told == "WATCHDOG=1") told = manager.Read();
    return told;
  };
  broker.Signal(SIGHUP);
  EXPECT_THAT(next_but_alive(), ::testing::StartsWith("RELOADING=1\nMONOTONIC_USEC="));
  EXPECT_THAT(next_but_alive(), ::testing::StartsWith("READY=1\n"));
  broker.Signal(SIGTERM);
  EXPECT_EQ(next_but_alive(), "STOPPING=1");
  EXPECT_EQ(broker.Wait(), 0);
}

TEST(MainTest, GivenCertificatesAreUsedAndNoneAreMade) {
  const TempFolder folder;
  ASSERT_TRUE(tls::CreateCertificateSet(folder / "site").ok());
  Program broker({kBroker, "--port=0", "--state-dir=" + (folder / "state"),
                  "--ca=" + (folder / "site/ca.pem"), "--server-cert=" + (folder / "site/server.pem"),
                  "--server-key=" + (folder / "site/server.key")});
  EXPECT_TRUE(CallWith(TargetOf(broker), folder / "site").ok());
  EXPECT_FALSE(std::filesystem::exists(folder / "state/certs"));
}

TEST(MainTest, AKeyThatOthersCanReadIsRefusedByName) {
  const TempFolder folder;
  ASSERT_TRUE(tls::CreateCertificateSet(folder / "certs").ok());
  const std::string key = folder / "certs/server.key";
  ASSERT_EQ(chmod(key.c_str(), 0644), 0);
  Program broker({kBroker, "--port=0", "--state-dir=" + folder.path()});
  EXPECT_EQ(broker.Wait(), 1);
  EXPECT_THAT(broker.errors(), HasSubstr(key));
  EXPECT_THAT(broker.errors(), HasSubstr("chmod"));
}

TEST(MainTest, OnSighupItLooksAtItsFilesAndGoesOn) {
  const TempFolder folder;
  Program broker({kBroker, "--port=0", "--state-dir=" + folder.path()});
  const std::string target = TargetOf(broker);
  const std::string certs = folder / "certs";
  EXPECT_TRUE(CallWith(target, certs).ok());
  ASSERT_TRUE(tls::ChangeRevocations(tls::RevocationsPathIn(certs), [](tls::RevocationList& list) {
                return list.AddIdentity("spiffe://pylabhub.local/client", {.reason = "a test"});
              }).ok());
  broker.Signal(SIGHUP);
  grpc::Status status;
  while (status.ok()) status = CallWith(target, certs);
  EXPECT_EQ(ReasonOf(status), "CERTIFICATE_REVOKED");
  broker.Signal(SIGTERM);
  EXPECT_EQ(broker.Wait(), 0);
  EXPECT_THAT(broker.errors(), HasSubstr("event=certificates_reloaded changed=revocations"));
}

TEST(MainTest, EveryChangeIsALineOfTheLog) {
  const TempFolder folder;
  Program broker({kBroker, "--port=0", "--state-dir=" + folder.path(), "--log-format=json"});
  const std::string target = TargetOf(broker);
  const auto loaded = tls::LoadTlsFiles(tls::ClientPathsIn(folder / "certs"));
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  WireClient client(testing::ConnectWith(target, *loaded), "session-of-client");
  EXPECT_EQ(ReasonOf(client.Register("a").status), "OK");
  EXPECT_EQ(ReasonOf(client.Deregister("a")), "OK");
  broker.Signal(SIGTERM);
  EXPECT_EQ(broker.Wait(), 0);
  const std::string log = broker.errors();
  EXPECT_THAT(log, HasSubstr(R"("event":"channel_pending","channel":"a")"));
  EXPECT_THAT(log,
              HasSubstr(R"("event":"call","method":"Register","identity":"spiffe://pylabhub.local/client")"));
  EXPECT_THAT(log, HasSubstr(R"("event":"channel_closing")"));
  EXPECT_THAT(log, Not(HasSubstr("session-of-client")));
}

TEST(MainTest, AFlagGoesBeforeTheConfigurationFileAndThatBeforeTheDefaults) {
  const TempFolder folder;
  std::ofstream(folder / "config") << "listen { port: 0 port_file: '" << (folder / "not-here") << "' }\n"
                                   << "log { format: 'json' }\n"
                                   << "limits { channels_per_identity: 1 }\n";
  Program broker({kBroker, "--config=" + (folder / "config"), "--state-dir=" + folder.path(),
                  "--port-file=" + (folder / "here")});
  const std::string target = TargetOf(broker);
  EXPECT_TRUE(std::filesystem::exists(folder / "here"));
  EXPECT_FALSE(std::filesystem::exists(folder / "not-here"));
  EXPECT_THAT(broker.errors(), HasSubstr(R"("event":"started")"));
  const auto loaded = tls::LoadTlsFiles(tls::ClientPathsIn(folder / "certs"));
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  WireClient client(testing::ConnectWith(target, *loaded), "session-of-client");
  EXPECT_EQ(ReasonOf(client.Register("a").status), "OK");
  EXPECT_EQ(ReasonOf(client.Register("b").status), "LIMIT_EXCEEDED");
}

TEST(MainTest, AConfigurationFileIsCheckedWithNothingStarted) {
  const TempFolder folder;
  std::ofstream(folder / "good") << "listen { port: 5571 }";
  std::ofstream(folder / "bad") << "listen {\n  port: 5571\n  sock: 'x'\n}";
  Program good({kBroker, "--check-config", "--config=" + (folder / "good")});
  EXPECT_EQ(good.ReadLine(), (folder / "good") + ": good");
  EXPECT_EQ(good.Wait(), 0);
  for (const bool check_only : {true, false}) {
    std::vector<std::string> arguments = {kBroker, "--config=" + (folder / "bad")};
    if (check_only) arguments.push_back("--check-config");
    Program bad(arguments);
    EXPECT_EQ(bad.Wait(), 2);
    EXPECT_THAT(bad.errors(), HasSubstr((folder / "bad") + ":3:7: "));
    EXPECT_THAT(bad.errors(), HasSubstr("unix_socket"));
  }
}

TEST(MainTest, APolicyIsCheckedWithTheConfigurationFile) {
  const TempFolder folder;
  std::ofstream(folder / "config") << "policy: \"" << (folder / "policy") << "\"";
  std::ofstream(folder / "policy") << "rules {\n  name: 'a'\n  principal: 'x'\n}";
  Program bad({kBroker, "--check-config", "--config=" + (folder / "config")});
  EXPECT_EQ(bad.Wait(), 2);
  EXPECT_THAT(bad.errors(), HasSubstr((folder / "policy") + ":3:12: "));
  EXPECT_THAT(bad.errors(), HasSubstr("Allowed here: name, principals"));
}

TEST(MainTest, SighupHasTheBrokerReadItsPolicyAnew) {
  const TempFolder folder("/tmp");
  const auto write = [&](const std::string& principal) {
    std::ofstream(folder / "next") << "rules { name: 'a' principals: '" << principal
                                   << "' actions: DISCOVER channels: '*' }";
    std::filesystem::rename(folder / "next", folder / "policy");
  };
  write("somebody");
  const testing::NotifySocket manager(folder / "notify");
  setenv("NOTIFY_SOCKET", (folder / "notify").c_str(), 1);
  Program broker({kBroker, "--port=0", "--state-dir=" + folder.path(), "--policy=" + (folder / "policy")});
  unsetenv("NOTIFY_SOCKET");
  EXPECT_THAT(manager.Read(), ::testing::StartsWith("READY=1\n"));
  EXPECT_THAT(broker.errors(), HasSubstr("event=policy_loaded"));
  write("somebody else");
  broker.Signal(SIGHUP);
  EXPECT_THAT(manager.Read(), ::testing::StartsWith("RELOADING=1\n"));
  EXPECT_THAT(manager.Read(), ::testing::StartsWith("READY=1\n"));
  // It may have been read before the signal came: by then it was there.
  EXPECT_NE(broker.errors().find("event=policy_loaded"), broker.errors().rfind("event=policy_loaded"));
  broker.Signal(SIGTERM);
  EXPECT_EQ(broker.Wait(), 0);
}

TEST(MainTest, AUnixSocketAndMetricsAreThereWhenTheyAreAskedFor) {
  const TempFolder folder("/tmp");
  Program broker({kBroker, "--port=0", "--state-dir=" + folder.path(), "--unix-socket=" + (folder / "socket"),
                  "--unix-socket-mode=0600", "--metrics-address=127.0.0.1:0", "--log-format=json"});
  TargetOf(broker);
  EXPECT_TRUE(CallWith("unix:" + (folder / "socket"), folder / "certs").ok());
  EXPECT_EQ(ModeOf(folder / "socket"), 0600u);
  std::string scraped = broker.errors();
  const std::string mark = R"("metrics":"http://)";
  ASSERT_THAT(scraped, HasSubstr(mark));
  scraped = scraped.substr(scraped.find(mark) + mark.size());
  scraped = scraped.substr(0, scraped.find("/metrics"));
  EXPECT_THAT(testing::HttpGet(scraped, "/metrics"),
              HasSubstr(R"(pylabhub_broker_calls_total{code="OK",method="GetBrokerInfo"} 1)"));
  broker.Signal(SIGTERM);
  EXPECT_EQ(broker.Wait(), 0);
  EXPECT_FALSE(std::filesystem::exists(folder / "socket"));
}

TEST(MainTest, HelpNamesEveryFlag) {
  Program broker({kBroker, "--help"});
  std::string help;
  for (int i = 0; i < 100; ++i) help += broker.ReadLine() + "\n";
  EXPECT_EQ(broker.Wait(), 0);
  for (const char* flag : {"--address",
                           "--port",
                           "--port-file",
                           "--state-dir",
                           "--server-cert",
                           "--server-key",
                           "--ca",
                           "--server-name",
                           "--lease-ttl",
                           "--shutdown-grace",
                           "--max-threads",
                           "--log-level",
                           "--log-format",
                           "--version",
                           "--config",
                           "--check-config",
                           "--unix-socket",
                           "--unix-socket-mode",
                           "--metrics-address",
                           "--metrics-allow-remote",
                           "--channelz",
                           "--policy"}) {
    EXPECT_THAT(help, HasSubstr(flag));
  }
}

// Of the two flags that --ca needs, either may be named first.
TEST(MainTest, WrongFlagsAreNamedAndEndWithCodeTwo) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"--port=65536"}, "--port"},           {{"--port=nine"}, "--port"},
      {{"--lease-ttl=ten"}, "--lease-ttl"},   {{"--ca=x"}, "--ca requires --server-"},
      {{"--no-such-flag"}, "no-such"},        {{"--log-format=xml"}, "--log-format"},
      {{"--max-threads=1"}, "--max-threads"}, {{"--unix-socket-mode=9"}, "write octal"},
      {{"--check-config"}, "--config"}};
  for (const auto& [flags, expected] : cases) {
    std::vector<std::string> arguments = {kBroker};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    Program broker(arguments);
    EXPECT_EQ(broker.Wait(), 2) << flags[0];
    EXPECT_THAT(broker.errors(), HasSubstr(expected));
  }
}

}  // namespace
}  // namespace pylabhub::broker
