#include "tests/bench/control/zeromq_subject.h"

#include <zmq.h>

#include <array>
#include <iostream>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/bench/control/names.h"

namespace pylabhub::bench {
namespace {

// In Z85 letters, with the zero at their end.
struct CurveKeys {
  std::array<char, 41> public_key{};
  std::array<char, 41> secret_key{};

  CurveKeys() { zmq_curve_keypair(public_key.data(), secret_key.data()); }
};

class ZeromqSubject final : public DirectorySubject {
 public:
  ZeromqSubject(const std::string& program, int names)
      : server_({program, "--serve-zeromq", "--names", absl::StrCat(names)}),
        context_(zmq_ctx_new()),
        socket_(zmq_socket(context_, ZMQ_DEALER)) {
    // "ENDPOINT PUBLIC_KEY"
    const std::vector<std::string> said = absl::StrSplit(server_.ReadLine(), ' ');
    if (said.size() != 2) return;
    const CurveKeys keys;
    zmq_setsockopt(socket_, ZMQ_CURVE_SERVERKEY, said[1].c_str(), said[1].size() + 1);
    zmq_setsockopt(socket_, ZMQ_CURVE_PUBLICKEY, keys.public_key.data(), keys.public_key.size());
    zmq_setsockopt(socket_, ZMQ_CURVE_SECRETKEY, keys.secret_key.data(), keys.secret_key.size());
    const int no_linger = 0;
    zmq_setsockopt(socket_, ZMQ_LINGER, &no_linger, sizeof(no_linger));
    zmq_connect(socket_, said[0].c_str());
  }
  ~ZeromqSubject() override {
    zmq_close(socket_);
    zmq_ctx_term(context_);
  }
  ZeromqSubject(const ZeromqSubject&) = delete;
  ZeromqSubject& operator=(const ZeromqSubject&) = delete;

  std::string name() const override { return "zeromq"; }
  const ServerProcess& server() const override { return server_; }
  bool MayBeCalledAtOnce() const override { return false; }

  absl::Status Lookup(uint64_t index) override { return LookupBatch(index, 1); }

  // All are on their way before the first answer is read.
  bool HasBatches() const override { return true; }
  absl::Status LookupBatch(uint64_t first, int count) override {
    for (int i = 0; i < count; ++i) {
      const std::string name = NameOf(first + static_cast<uint64_t>(i));
      if (zmq_send(socket_, name.data(), name.size(), 0) < 0) return absl::InternalError(zmq_strerror(errno));
    }
    char answer[2 * kValueBytes];
    for (int i = 0; i < count; ++i) {
      if (zmq_recv(socket_, answer, sizeof(answer), 0) != kValueBytes)
        return absl::DataLossError("another answer");
    }
    return absl::OkStatus();
  }

 private:
  ServerProcess server_;
  void* context_;
  void* socket_;
};

}  // namespace

std::unique_ptr<DirectorySubject> MakeZeromqSubject(const std::string& program, int names) {
  return std::make_unique<ZeromqSubject>(program, names);
}

int ServeZeromq(int names) {
  absl::flat_hash_map<std::string, std::string> directory;
  for (int i = 0; i < names; ++i)
    directory[NameOf(static_cast<uint64_t>(i))] = ValueOf(static_cast<uint64_t>(i));
  void* const context = zmq_ctx_new();
  void* const socket = zmq_socket(context, ZMQ_ROUTER);
  const CurveKeys keys;
  const int is_server = 1;
  zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &is_server, sizeof(is_server));
  zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, keys.secret_key.data(), keys.secret_key.size());
  if (zmq_bind(socket, "tcp://127.0.0.1:*") != 0) return 2;
  char endpoint[64];
  size_t endpoint_bytes = sizeof(endpoint);
  zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &endpoint_bytes);
  std::cout << endpoint << " " << keys.public_key.data() << std::endl;

  char peer[256];
  char name[256];
  for (;;) {
    const int peer_bytes = zmq_recv(socket, peer, sizeof(peer), 0);
    const int name_bytes = zmq_recv(socket, name, sizeof(name), 0);
    if (peer_bytes < 0 || name_bytes < 0) return 2;
    const auto found = directory.find(absl::string_view(name, static_cast<size_t>(name_bytes)));
    static const std::string nothing;
    const std::string& value = found == directory.end() ? nothing : found->second;
    zmq_send(socket, peer, static_cast<size_t>(peer_bytes), ZMQ_SNDMORE);
    zmq_send(socket, value.data(), value.size(), 0);
  }
}

}  // namespace pylabhub::bench
