#include "tests/broker/raw_http2.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/time/clock.h"

namespace pylabhub::testing {
namespace {

using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;

Bio Text(const std::string& text) {
  return {BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), BIO_free};
}

void Use(SSL_CTX* context, const tls::TlsFiles& files) {
  X509* certificate = PEM_read_bio_X509(Text(files.certificate_pem).get(), nullptr, nullptr, nullptr);
  EVP_PKEY* key = PEM_read_bio_PrivateKey(Text(files.key_pem).get(), nullptr, nullptr, nullptr);
  if (SSL_CTX_use_certificate(context, certificate) != 1 || SSL_CTX_use_PrivateKey(context, key) != 1)
    std::abort();
  X509_free(certificate);
  EVP_PKEY_free(key);
}

// An integer with a prefix of 7 bits (RFC 7541, 5.1), as lengths of strings have.
std::string Length(size_t value) {
  if (value < 127) return {static_cast<char>(value)};
  std::string bytes = {127};
  for (value -= 127; value >= 128; value >>= 7) bytes += static_cast<char>((value & 127) | 128);
  return bytes + static_cast<char>(value);
}

// A literal header that is not to be remembered.
std::string Literal(const std::string& name, const std::string& value) {
  return std::string(1, '\0') + Length(name.size()) + name + Length(value.size()) + value;
}

}  // namespace

int ConnectToPort(int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(client, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) std::abort();
  return client;
}

bool IsClosedWithin(int connection, absl::Duration time) {
  const absl::Time deadline = absl::Now() + time;
  while (absl::Now() < deadline) {
    pollfd readable = {connection, POLLIN, 0};
    poll(&readable, 1, static_cast<int>(absl::ToInt64Milliseconds(deadline - absl::Now())) + 1);
    char buffer[4096];
    if (readable.revents != 0 && recv(connection, buffer, sizeof(buffer), MSG_DONTWAIT) <= 0) return true;
  }
  return false;
}

RawHttp2Client::RawHttp2Client(int port, const tls::TlsFiles& files, const std::string& settings)
    : socket_(ConnectToPort(port)),
      context_(SSL_CTX_new(TLS_client_method()), SSL_CTX_free),
      ssl_(nullptr, SSL_free) {
  signal(SIGPIPE, SIG_IGN);
  const timeval patience = {10, 0};
  setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
  setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  Use(context_.get(), files);
  ssl_.reset(SSL_new(context_.get()));
  SSL_set_alpn_protos(ssl_.get(), reinterpret_cast<const unsigned char*>("\x02h2"), 3);
  SSL_set_fd(ssl_.get(), socket_);
  connected_ = SSL_connect(ssl_.get()) == 1;
  Send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + Frame(kSettings, 0, 0, settings));
}

RawHttp2Client::~RawHttp2Client() { close(socket_); }

bool RawHttp2Client::Send(const std::string& frames) {
  if (!connected_) return false;
  DropWhatCame();
  connected_ = connected_ && SSL_write(ssl_.get(), frames.data(), static_cast<int>(frames.size())) > 0;
  return connected_;
}

void RawHttp2Client::DropWhatCame() {
  pollfd readable = {socket_, POLLIN, 0};
  char buffer[16384];
  while (connected_ && (SSL_pending(ssl_.get()) > 0 || poll(&readable, 1, 0) > 0)) {
    connected_ = SSL_read(ssl_.get(), buffer, sizeof(buffer)) > 0;
  }
}

bool RawHttp2Client::AwaitClose(absl::Duration time) {
  const absl::Time deadline = absl::Now() + time;
  while (connected_ && absl::Now() < deadline) {
    pollfd readable = {socket_, POLLIN, 0};
    poll(&readable, 1, static_cast<int>(absl::ToInt64Milliseconds(deadline - absl::Now())) + 1);
    DropWhatCame();
  }
  return !connected_;
}

std::string RawHttp2Client::Frame(FrameType type, uint8_t flags, uint32_t stream,
                                  const std::string& payload) {
  std::string frame;
  for (const int shift : {16, 8, 0}) frame += static_cast<char>(payload.size() >> shift);
  frame += static_cast<char>(type);
  frame += static_cast<char>(flags);
  for (const int shift : {24, 16, 8, 0}) frame += static_cast<char>(stream >> shift);
  return frame + payload;
}

std::string RawHttp2Client::RequestHeaders(const std::string& path, const Headers& more) {
  std::string block = Literal(":method", "POST") + Literal(":scheme", "https") + Literal(":path", path) +
                      Literal(":authority", "localhost") + Literal("te", "trailers") +
                      Literal("content-type", "application/grpc");
  for (const auto& [name, value] : more) block += Literal(name, value);
  return block;
}

std::string RawHttp2Client::Reset(uint32_t stream) {
  // Error code CANCEL.
  return Frame(kResetStream, 0, stream, std::string("\0\0\0\x08", 4));
}

}  // namespace pylabhub::testing
