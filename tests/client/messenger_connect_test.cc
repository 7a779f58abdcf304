// Connecting to what is not there, or is no broker. What a real broker answers is tested in tests/e2e.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/messenger.h"
#include "gtest/gtest.h"
#include "proto/tls/certificate_set.h"
#include "tests/support/temp_folder.h"

namespace pylabhub {
namespace {

using ::pylabhub::testing::TempFolder;

// A loopback port of its own that is bound; it refuses connections unless it listens, and never answers if it
// does.
class SilentPort {
 public:
  explicit SilentPort(bool listens) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    EXPECT_EQ(listens ? listen(fd_, 8) : 0, 0);
  }
  ~SilentPort() { close(fd_); }
  std::string address() const { return absl::StrCat("127.0.0.1:", port_); }

 private:
  const int fd_;
  int port_ = 0;
};

class MessengerConnectTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    temp_ = new TempFolder;
    ASSERT_TRUE(tls::CreateCertificateSet(*temp_ / "certs").ok());
  }
  static void TearDownTestSuite() { delete temp_; }

  static ConnectOptions To(const std::string& address) {
    return {
        .address = address, .certificates_folder = *temp_ / "certs", .connect_timeout = absl::Seconds(20)};
  }
  static absl::Status Connect(const ConnectOptions& options) { return Messenger::Connect(options).status(); }

  static TempFolder* temp_;
};

TempFolder* MessengerConnectTest::temp_ = nullptr;

bool Says(const absl::Status& status, const std::string& text) {
  return std::string(status.message()).find(text) != std::string::npos;
}

TEST_F(MessengerConnectTest, DeadPortIsAnErrorThatNamesTheAddressLongBeforeTheDeadline) {
  const SilentPort port(/*listens=*/false);
  const auto start = std::chrono::steady_clock::now();
  const absl::Status status = Connect(To(port.address()));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(Says(status, port.address())) << status;
  EXPECT_TRUE(Says(status, "nothing listens there")) << status;
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

TEST_F(MessengerConnectTest, PortThatNeverAnswersIsAnErrorAtTheDeadline) {
  const SilentPort port(/*listens=*/true);
  ConnectOptions options = To(port.address());
  options.connect_timeout = absl::Milliseconds(300);
  const absl::Status status = Connect(options);
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(Says(status, "no answer within 300ms")) << status;
}

TEST_F(MessengerConnectTest, UnknownHostIsAnErrorThatSaysSo) {
  const absl::Status status = Connect(To("no-such-host.invalid:5570"));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(Says(status, "name is unknown")) << status;
}

TEST_F(MessengerConnectTest, SocketFileThatIsNotThereIsAnError) {
  const absl::Status status = Connect(To("unix:/nonexistent/pylabhub.sock"));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(Says(status, "nothing listens there")) << status;
}

TEST_F(MessengerConnectTest, TextThatIsNoAddressIsRefusedBeforeAnythingIsTried) {
  for (const std::string& address : std::vector<std::string>{
           "", "localhost", "localhost:", ":5570", "localhost:70000", "localhost:http", "::1:5570",
           "https://localhost:5570", "a b:1", "unix:", "unix:/" + std::string(107, 'x')}) {
    const absl::Status status = Connect(To(address));
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << address << ": " << status;
    EXPECT_TRUE(Says(status, "'" + address + "'")) << status;
  }
}

TEST_F(MessengerConnectTest, MissingCertificatesAreNamed) {
  absl::Status status = Connect({.address = "localhost:5570"});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(Says(status, "certificates_folder")) << status;

  ConnectOptions options = To("localhost:5570");
  options.key_path = *temp_ / "absent.key";
  status = Connect(options);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(Says(status, *temp_ / "absent.key")) << status;
}

TEST_F(MessengerConnectTest, KeyThatOthersCanReadIsRefused) {
  const TempFolder own;
  std::filesystem::copy(*temp_ / "certs", own / "certs");
  ASSERT_EQ(chmod((own / "certs/client.key").c_str(), 0644), 0);
  ConnectOptions options = To("localhost:5570");
  options.certificates_folder = own / "certs";
  const absl::Status status = Connect(options);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(Says(status, "chmod 600")) << status;
}

}  // namespace
}  // namespace pylabhub
