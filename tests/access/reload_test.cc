// Certificates that are replaced while the broker runs: what is taken over, what never is, and that nobody notices.

#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <fstream>
#include <set>
#include <thread>

#include "tests/access/lab.h"
#include "tests/broker/wire_fixture.h"

namespace pylabhub::broker {
namespace {

using ::testing::HasSubstr;
using testing::Lab;
using testing::NewAuthority;
using testing::NewServer;
using testing::SerialOf;
using ::testing::SizeIs;

// Calls once; the serial of the certificate that the server showed, or what went wrong.
std::string ServerSerial(const std::shared_ptr<grpc::Channel>& channel) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  v1::GetBrokerInfoResponse response;
  const grpc::Status status = v1::Broker::NewStub(channel)->GetBrokerInfo(&context, {}, &response);
  if (!status.ok()) return status.error_message();
  const auto shown = context.auth_context()->FindPropertyValues("x509_pem_cert");
  if (shown.empty()) return "no certificate";
  return tls::Summarize(absl::string_view(shown[0].data(), shown[0].size())).value().serial;
}

class ReloadTest : public ::testing::Test {
 protected:
  std::string SerialOnANewConnection() { return ServerSerial(lab_.Connect(lab_.Client("alice"))); }

  // That the files as they are now are refused, and what was used before still is.
  void ExpectRefused(const std::string& why) {
    const std::string before = SerialOnANewConnection();
    const absl::Status status = lab_.broker().Reload();
    EXPECT_THAT(std::string(status.message()), HasSubstr(why));
    EXPECT_EQ(SerialOnANewConnection(), before);
    const auto refused = lab_.Logged("certificates_refused");
    ASSERT_FALSE(refused.empty());
    EXPECT_THAT(refused.back().fields[0].second, HasSubstr(why));
  }

  Lab lab_;
};

TEST_F(ReloadTest, ANewServerCertificateIsShownToNewConnectionsAndStandingOnesGoOn) {
  const auto standing = lab_.Connect(lab_.Client("alice"));
  const std::string before = ServerSerial(standing);
  const tls::Credential renewed = NewServer(lab_.authority());
  lab_.Write(renewed);
  ASSERT_TRUE(lab_.broker().Reload().ok());
  EXPECT_EQ(SerialOnANewConnection(), SerialOf(renewed));
  EXPECT_EQ(ServerSerial(standing), before);
  EXPECT_THAT(lab_.Logged("certificates_reloaded"), SizeIs(1));
}

TEST_F(ReloadTest, ANewAuthoritysClientsComeInAndTheOldOnesDoNotOnceItIsGone) {
  const tls::Credential other = NewAuthority("the next CA");
  const tls::Credential guest = testing::NewClient(other, "guest", tls::ValidFor(absl::Hours(1)));
  tls::TlsFiles files = lab_.FilesOf(guest);
  const tls::Credential server = NewServer(lab_.authority());
  EXPECT_NE(ServerSerial(lab_.Connect(files)), SerialOf(server));
  lab_.Write(server, lab_.authority().certificate_pem + other.certificate_pem);
  ASSERT_TRUE(lab_.broker().Reload().ok());
  EXPECT_EQ(ServerSerial(lab_.Connect(files)), SerialOf(server));
  EXPECT_EQ(SerialOnANewConnection(), SerialOf(server));
  lab_.Write(server, other.certificate_pem);
  ASSERT_TRUE(lab_.broker().Reload().ok());
  EXPECT_EQ(ServerSerial(lab_.Connect(files)), SerialOf(server));
  EXPECT_NE(SerialOnANewConnection(), SerialOf(server));
}

TEST_F(ReloadTest, ACertificateWithAnothersKeyNeverReachesTheListener) {
  ASSERT_TRUE(
      tls::WritePrivateFile(lab_.folder() + "/server.pem", NewServer(lab_.authority()).certificate_pem).ok());
  ExpectRefused("server.key: the private key does not belong to the certificate");
}

TEST_F(ReloadTest, GarbageNeverReachesTheListener) {
  for (const char* file : {"server.pem", "server.key", "ca.pem"}) {
    Lab fresh;
    ASSERT_TRUE(
        tls::WritePrivateFile(fresh.folder() + "/" + file, "-----BEGIN CERTIFICATE-----\ngarbage\n").ok());
    EXPECT_THAT(std::string(fresh.broker().Reload().message()), HasSubstr(file));
    EXPECT_THAT(ServerSerial(fresh.Connect(fresh.Client("alice"))), ::testing::MatchesRegex("[0-9a-f]+"));
  }
}

TEST_F(ReloadTest, AnExpiredCertificateNeverReachesTheListener) {
  const absl::Time now = absl::Now();
  lab_.Write(NewServer(lab_.authority(), {now - absl::Hours(2), now - absl::Hours(1)}));
  ExpectRefused("the server's certificate expired");
}

TEST_F(ReloadTest, ACertificateThatIsNotValidYetReachesTheListenerWhenItIs) {
  const absl::Time now = absl::Now();
  const tls::Credential early = NewServer(lab_.authority(), {now + absl::Seconds(2), now + absl::Hours(1)});
  lab_.Write(early);
  ExpectRefused("is not valid before");
  while (!lab_.broker().Reload().ok()) {
  }
  EXPECT_EQ(SerialOnANewConnection(), SerialOf(early));
}

TEST_F(ReloadTest, AKeyThatOthersCanReadIsRefusedWithTheMend) {
  const tls::Credential renewed = NewServer(lab_.authority());
  lab_.Write(renewed);
  const std::string key = lab_.folder() + "/server.key";
  ASSERT_EQ(chmod(key.c_str(), 0644), 0);
  ExpectRefused("chmod 600 " + key);
  ASSERT_EQ(chmod(key.c_str(), 0600), 0);
  ASSERT_TRUE(lab_.broker().Reload().ok());
  EXPECT_EQ(SerialOnANewConnection(), SerialOf(renewed));
}

TEST_F(ReloadTest, AClientsCertificateIsNoneForTheServer) {
  lab_.Write(testing::NewClient(lab_.authority(), "alice", tls::ValidFor(absl::Hours(1))));
  ExpectRefused("is no certificate for a server");
}

TEST_F(ReloadTest, ABrokenOrMissingFileOfRevocationsLeavesThoseThatStand) {
  lab_.RevokeIdentity("mallory");
  ASSERT_TRUE(lab_.broker().Reload().ok());
  const auto mallory = [&] {
    return ReasonOf(WireClient(lab_.Connect(lab_.Client("mallory")), "session-of-mallory").Heartbeat());
  };
  EXPECT_EQ(mallory(), "CERTIFICATE_REVOKED");
  ASSERT_TRUE(tls::WritePrivateFile(lab_.revocations_path(), "revoked { identity: 'mal").ok());
  ExpectRefused("revocations.textproto:1:");
  EXPECT_EQ(mallory(), "CERTIFICATE_REVOKED");
  ASSERT_EQ(unlink(lab_.revocations_path().c_str()), 0);
  ExpectRefused("was there and is gone");
  EXPECT_EQ(mallory(), "CERTIFICATE_REVOKED");
}

// However a file is replaced, it is noticed without being told.
class NoticeTest : public ::testing::Test {
 protected:
  void ExpectNoticed(const tls::Credential& renewed) {
    const absl::Time deadline = absl::Now() + absl::Seconds(20);
    std::string seen;
    do {
      seen = ServerSerial(lab_.Connect(lab_.Client("alice")));
    } while (seen != SerialOf(renewed) && absl::Now() < deadline);
    EXPECT_EQ(seen, SerialOf(renewed));
  }

  Lab lab_{absl::Milliseconds(20)};
};

TEST_F(NoticeTest, FilesThatAreRenamedOverTheOldOnes) {
  const tls::Credential renewed = NewServer(lab_.authority());
  lab_.Write(renewed);
  ExpectNoticed(renewed);
}

TEST_F(NoticeTest, FilesThatAreWrittenInPlace) {
  const tls::Credential renewed = NewServer(lab_.authority());
  std::ofstream(lab_.folder() + "/server.key") << renewed.key_pem;
  std::ofstream(lab_.folder() + "/server.pem") << renewed.certificate_pem;
  ExpectNoticed(renewed);
}

TEST_F(NoticeTest, ALinkThatIsTurned) {
  namespace fs = std::filesystem;
  const std::string link = lab_.folder() + "/current";
  const auto fill = [&](const std::string& name, const tls::Credential& server) {
    const std::string folder = lab_.folder() + "/" + name;
    ASSERT_TRUE(tls::MakePrivateFolder(folder).ok());
    ASSERT_TRUE(tls::WritePrivateFile(folder + "/server.key", server.key_pem).ok());
    ASSERT_TRUE(tls::WritePrivateFile(folder + "/server.pem", server.certificate_pem).ok());
    ASSERT_TRUE(tls::WritePrivateFile(folder + "/ca.pem", lab_.authority().certificate_pem).ok());
  };
  fill("first", NewServer(lab_.authority()));
  fs::create_symlink("first", link);
  lab_.options().certificate_files.paths = tls::ServerPathsIn(link);
  lab_.Start();
  const tls::Credential renewed = NewServer(lab_.authority());
  fill("second", renewed);
  fs::create_symlink("second", link + ".new");
  fs::rename(link + ".new", link);
  ExpectNoticed(renewed);
}

TEST_F(NoticeTest, AKeyThatDoesNotChangeIsNotReadAgain) {
  const int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  ASSERT_GE(inotify_add_watch(watch, (lab_.folder() + "/server.key").c_str(), IN_OPEN), 0);
  // A file that has just been written is read at each look for a while, since its time says too little.
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  constexpr int kManyLooksMillis = 500;
  pollfd opened = {.fd = watch, .events = POLLIN, .revents = 0};
  while (poll(&opened, 1, kManyLooksMillis) > 0 && absl::Now() < deadline) {
    char events[4096];
    ASSERT_GT(read(watch, events, sizeof(events)), 0);
  }
  EXPECT_LT(absl::Now(), deadline);
  close(watch);
  const tls::Credential renewed = NewServer(lab_.authority());
  lab_.Write(renewed);
  ExpectNoticed(renewed);
}

// A hundred rotations of the server's certificate and of the CA, each authority being trusted one rotation before it
// issues anything, and one after.
class RotationTest : public ::testing::Test {
 protected:
  static constexpr int kRotations = 100;
  static constexpr int kClients = 2;

  RotationTest() {
    for (int i = 0; i < kRotations + 3; ++i) authorities_.push_back(NewAuthority("CA " + std::to_string(i)));
    Rotate(0);
  }

  void Rotate(int number) {
    const tls::Credential server = NewServer(authorities_[number + 1]);
    const std::string trusted =
        authorities_[number].certificate_pem + authorities_[number + 1].certificate_pem;
    {
      // Before it can be seen.
      const std::lock_guard<std::mutex> lock(mutex_);
      servers_.insert(SerialOf(server));
    }
    lab_.Write(server, trusted);
    ASSERT_TRUE(lab_.broker().Reload().ok());
    const std::lock_guard<std::mutex> lock(mutex_);
    rotation_ = number;
  }

  // Connects anew and calls, and calls over a connection that stands, until the end.
  void CallUntilTheEnd(int client) {
    const auto standing = lab_.Connect(FilesFor(0));
    int rotation = 0;
    while (rotation < kRotations) {
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        rotation = rotation_;
      }
      const std::string seen = ServerSerial(lab_.Connect(FilesFor(rotation)));
      const std::string still = ServerSerial(standing);
      const std::lock_guard<std::mutex> lock(mutex_);
      calls_ += 2;
      if (servers_.count(seen) == 0) failures_.push_back(seen);
      if (servers_.count(still) == 0) failures_.push_back(still);
      seen_.insert(seen);
      progress_[client] = rotation;
      progressed_.notify_all();
    }
  }

  // With a certificate of the authority that issues since this rotation, trusting the next one already.
  tls::TlsFiles FilesFor(int rotation) const {
    const auto client =
        testing::NewClient(authorities_[rotation + 1], "alice", tls::ValidFor(absl::Hours(1)));
    return {.ca_certificate_pem = authorities_[rotation].certificate_pem +
                                  authorities_[rotation + 1].certificate_pem +
                                  authorities_[rotation + 2].certificate_pem,
            .certificate_pem = client.certificate_pem,
            .key_pem = client.key_pem};
  }

  Lab lab_;
  std::vector<tls::Credential> authorities_;
  std::mutex mutex_;
  std::condition_variable progressed_;
  // All under mutex_.
  int rotation_ = 0;
  int calls_ = 0;
  std::set<std::string> servers_;
  std::set<std::string> seen_;
  std::vector<std::string> failures_;
  std::array<int, kClients> progress_ = {};
};

TEST_F(RotationTest, AHundredRotationsOfServerCertificateAndAuthorityFailNoCall) {
  std::vector<std::thread> clients;
  for (int i = 0; i < kClients; ++i) clients.emplace_back([this, i] { CallUntilTheEnd(i); });
  const absl::Time start = absl::Now();
  for (int number = 1; number <= kRotations; ++number) {
    Rotate(number);
    // Each client connects at least once under each authority; more than one rotation behind, nobody could.
    std::unique_lock<std::mutex> lock(mutex_);
    progressed_.wait_for(lock, std::chrono::seconds(20), [&] {
      return std::all_of(progress_.begin(), progress_.end(), [&](int at) { return at >= number; });
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_THAT(failures_, ::testing::IsEmpty());
  EXPECT_GE(seen_.size(), static_cast<size_t>(kRotations));
  RecordProperty("calls_per_second", static_cast<int>(calls_ / absl::ToDoubleSeconds(absl::Now() - start)));
}

}  // namespace
}  // namespace pylabhub::broker
