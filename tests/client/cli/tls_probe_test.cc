// What `tls check` finds where time or the protocol is wrong; what a script can bring about is in certs_test.py.

#include "client/cli/tls_probe.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "client/cli/tls_dial.h"
#include "proto/tls/openssl_pointers.h"
#include "tests/access/lab.h"

namespace pylabhub::cli {
namespace {

using ::testing::HasSubstr;
using testing::Lab;
using testing::TempFolder;

constexpr absl::Duration kHour = absl::Hours(1);

class TlsProbeTest : public ::testing::Test {
 protected:
  TlsProbeTest() { WriteClient(lab_.Client("alice")); }

  void WriteClient(const tls::TlsFiles& files) {
    const tls::TlsPaths paths = tls::ClientPathsIn(folder_.path());
    ASSERT_TRUE(tls::WritePrivateFile(paths.ca_certificate, files.ca_certificate_pem).ok());
    ASSERT_TRUE(tls::WritePrivateFile(paths.certificate, files.certificate_pem).ok());
    ASSERT_TRUE(tls::WritePrivateFile(paths.key, files.key_pem).ok());
  }
  // A broker that shows this certificate.
  void Serve(const tls::Validity& validity) {
    lab_.Write(testing::NewServer(lab_.authority(), validity));
    lab_.Start();
  }
  TlsFinding Last(const std::string& address) {
    return ProbeTls({.address = address, .certificates_folder = folder_.path()}).back();
  }
  TlsFinding Last() { return Last(lab_.broker().target()); }

  Lab lab_;
  const TempFolder folder_;
};

TEST_F(TlsProbeTest, AGoodConnectionIsFollowedToItsFirstCall) {
  std::vector<std::string> steps;
  for (const TlsFinding& finding :
       ProbeTls({.address = lab_.broker().target(), .certificates_folder = folder_.path()})) {
    EXPECT_EQ(finding.fault, "") << finding.message;
    steps.push_back(finding.step);
  }
  EXPECT_THAT(steps,
              ::testing::ElementsAre("own files", "connect", "tls", "server certificate", "http2", "call"));
}

TEST_F(TlsProbeTest, ABrokersCertificateThatHasExpired) {
  Serve({absl::Now() - 2 * kHour, absl::Now() - kHour});
  const TlsFinding last = Last();
  EXPECT_EQ(last.fault, "expired");
  EXPECT_EQ(last.exit_code, kServerNotTrusted);
  EXPECT_THAT(last.mend, HasSubstr("certs renew"));
}

TEST_F(TlsProbeTest, ABrokersCertificateThatIsNotValidYetPointsToTheClock) {
  Serve({absl::Now() + kHour, absl::Now() + 2 * kHour});
  const TlsFinding last = Last();
  EXPECT_EQ(last.fault, "not_yet_valid");
  EXPECT_THAT(last.mend, HasSubstr("clock"));
}

TEST_F(TlsProbeTest, AClientsCertificateThatHasExpiredOrIsNotValidYet) {
  const auto write = [&](absl::Duration from, absl::Duration to) {
    const absl::Time now = absl::Now();
    WriteClient(lab_.FilesOf(testing::NewClient(lab_.authority(), "alice", {now + from, now + to})));
  };
  write(-2 * kHour, -kHour);
  EXPECT_EQ(Last().fault, "own_expired");
  write(kHour, 2 * kHour);
  EXPECT_EQ(Last().fault, "own_not_yet_valid");
  EXPECT_EQ(Last().exit_code, kOwnCertificateBad);
}

// Speaks TLS to one connection, and agrees to no protocol.
class TlsWithoutAlpn {
 public:
  explicit TlsWithoutAlpn(const tls::Credential& server) : context_(SSL_CTX_new(TLS_server_method())) {
    const tls::X509Ptr certificate(
        PEM_read_bio_X509(tls::ReaderOf(server.certificate_pem).get(), nullptr, nullptr, nullptr));
    const tls::KeyPtr key(
        PEM_read_bio_PrivateKey(tls::ReaderOf(server.key_pem).get(), nullptr, nullptr, nullptr));
    SSL_CTX_use_certificate(context_, certificate.get());
    SSL_CTX_use_PrivateKey(context_, key.get());
    sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
    socklen_t size = sizeof(address);
    listener_ = socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(listener_, 1), 0);
    EXPECT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Serve(); });
  }
  ~TlsWithoutAlpn() {
    thread_.join();
    close(listener_);
    SSL_CTX_free(context_);
  }
  TlsWithoutAlpn(const TlsWithoutAlpn&) = delete;
  TlsWithoutAlpn& operator=(const TlsWithoutAlpn&) = delete;

  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  void Serve() {
    const int connection = accept(listener_, nullptr, nullptr);
    SSL* const ssl = SSL_new(context_);
    SSL_set_fd(ssl, connection);
    SSL_accept(ssl);
    SSL_free(ssl);
    close(connection);
  }

  SSL_CTX* const context_;
  int listener_ = -1;
  int port_ = 0;
  std::thread thread_;
};

TEST_F(TlsProbeTest, TlsWithoutAlpnIsNoGrpcServer) {
  const TlsWithoutAlpn server(testing::NewServer(lab_.authority()));
  const TlsFinding last = Last(server.address());
  EXPECT_EQ(last.fault, "no_alpn") << last.message;
  EXPECT_EQ(last.exit_code, kNoHttp2);
}

TEST(PlaceTest, AddressesAreReadAsPeopleWriteThem) {
  EXPECT_EQ(PlaceOf("lab7:5571", "").port, "5571");
  EXPECT_EQ(PlaceOf("lab7:5571", "").name, "lab7");
  EXPECT_EQ(PlaceOf("lab7", "").port, "5570");
  EXPECT_EQ(PlaceOf("[::1]:7", "").host, "::1");
  EXPECT_EQ(PlaceOf("[::1]:7", "").port, "7");
  EXPECT_EQ(PlaceOf("::1", "").host, "::1");
  EXPECT_EQ(PlaceOf("::1", "").text(), "[::1]:5570");
  EXPECT_EQ(PlaceOf("unix:/run/x", "").path, "/run/x");
  EXPECT_EQ(PlaceOf("unix:/run/x", "").name, "localhost");
  EXPECT_EQ(PlaceOf("lab7", "broker.lab").name, "broker.lab");
}

}  // namespace
}  // namespace pylabhub::cli
