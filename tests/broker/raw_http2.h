// A client that speaks HTTP/2 over mutual TLS by hand, so that it can do what no library lets a client do.
#ifndef PYLABHUB_TESTS_BROKER_RAW_HTTP2_H_
#define PYLABHUB_TESTS_BROKER_RAW_HTTP2_H_

#include <openssl/ssl.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "proto/tls/certificate_set.h"

namespace pylabhub::testing {

// A TCP connection to 127.0.0.1:`port`; the caller closes it. Failing to connect ends the test program.
int ConnectToPort(int port);

// Whether the peer closes `connection` within `time`.
bool IsClosedWithin(int connection, absl::Duration time);

class RawHttp2Client {
 public:
  enum FrameType : uint8_t { kHeaders = 1, kResetStream = 3, kSettings = 4, kContinuation = 9 };
  enum Flag : uint8_t { kEndStream = 1, kEndHeaders = 4 };
  using Headers = std::vector<std::pair<std::string, std::string>>;

  // Connects, shakes hands, and sends the preface with `settings` (the payload of a SETTINGS frame).
  RawHttp2Client(int port, const tls::TlsFiles& files, const std::string& settings = "");
  ~RawHttp2Client();
  RawHttp2Client(const RawHttp2Client&) = delete;
  RawHttp2Client& operator=(const RawHttp2Client&) = delete;

  bool is_connected() const { return connected_; }

  // False once the peer has closed, or takes nothing for ten seconds. What the peer sends meanwhile is dropped.
  bool Send(const std::string& frames);

  // Drops what the peer sends until it closes; false if it does not within `time`.
  bool AwaitClose(absl::Duration time);

  static std::string Frame(FrameType type, uint8_t flags, uint32_t stream, const std::string& payload);
  // The header block of a gRPC request to `path`, with `more` headers.
  static std::string RequestHeaders(const std::string& path, const Headers& more = {});
  static std::string Reset(uint32_t stream);

 private:
  void DropWhatCame();

  int socket_ = -1;
  bool connected_ = false;
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_;
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl_;
};

}  // namespace pylabhub::testing

#endif  // PYLABHUB_TESTS_BROKER_RAW_HTTP2_H_
