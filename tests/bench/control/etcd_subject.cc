#include "tests/bench/control/etcd_subject.h"

#include <grpcpp/client_context.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <iostream>

#include "absl/strings/str_cat.h"
#include "proto/tls/certificate_set.h"
#include "tests/bench/control/certificates.h"
#include "tests/bench/control/etcd.grpc.pb.h"
#include "tests/bench/control/names.h"

namespace pylabhub::bench {
namespace {

constexpr char kProgram[] = "/usr/bin/etcd";
constexpr std::chrono::seconds kStartPatience{20};

// A port that is free now: etcd cannot be asked which one it took.
int FreePort() {
  const int socket_fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t bytes = sizeof(address);
  const bool bound = bind(socket_fd, reinterpret_cast<sockaddr*>(&address), bytes) == 0 &&
                     getsockname(socket_fd, reinterpret_cast<sockaddr*>(&address), &bytes) == 0;
  close(socket_fd);
  return bound ? ntohs(address.sin_port) : 0;
}

std::vector<std::string> CommandOf(const std::string& certificates_folder, const std::string& data_folder,
                                   int port) {
  const tls::TlsPaths tls = tls::ServerPathsIn(certificates_folder);
  const std::string clients = absl::StrCat("https://127.0.0.1:", port);
  const std::string peers = absl::StrCat("http://127.0.0.1:", FreePort());
  return {kProgram,
          "--name=bench",
          "--log-level=error",
          absl::StrCat("--data-dir=", data_folder),
          absl::StrCat("--listen-client-urls=", clients),
          absl::StrCat("--advertise-client-urls=", clients),
          absl::StrCat("--listen-peer-urls=", peers),
          absl::StrCat("--initial-advertise-peer-urls=", peers),
          absl::StrCat("--initial-cluster=bench=", peers),
          "--client-cert-auth",
          absl::StrCat("--trusted-ca-file=", tls.ca_certificate),
          absl::StrCat("--cert-file=", tls.certificate),
          absl::StrCat("--key-file=", tls.key)};
}

class EtcdSubject final : public DirectorySubject {
 public:
  EtcdSubject(const std::string& certificates_folder, const std::string& data_folder)
      : certificates_folder_(certificates_folder),
        port_(FreePort()),
        server_(CommandOf(certificates_folder, data_folder, port_)),
        stub_(etcdserverpb::KV::NewStub(Connect())) {}

  absl::Status Fill(int names) {
    if (absl::Status status = Store(NameOf(0), ValueOf(0), /*wait_for_ready=*/true); !status.ok())
      return absl::UnavailableError(absl::StrCat(status.message(), "\n", server_.errors()));
    for (int i = 1; i < names; ++i) {
      const auto index = static_cast<uint64_t>(i);
      if (absl::Status status = Store(NameOf(index), ValueOf(index)); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  std::string name() const override { return "etcd"; }
  const ServerProcess& server() const override { return server_; }

  absl::Status Lookup(uint64_t index) override {
    grpc::ClientContext context;
    etcdserverpb::RangeRequest request;
    etcdserverpb::RangeResponse response;
    request.set_key(NameOf(index));
    const grpc::Status status = stub_->Range(&context, request, &response);
    if (!status.ok()) return absl::InternalError(status.error_message());
    return response.kvs_size() == 1 ? absl::OkStatus() : absl::DataLossError("no such key");
  }

  bool CanPut() const override { return true; }
  absl::Status Put(const std::string& name) override { return Store(name, ValueOf(0)); }

  std::optional<WatchedName> Watched() override {
    etcdserverpb::WatchRequest request;
    request.mutable_create_request()->set_key(kWatchedName);
    return WatchedName{.connect = [this] { return Connect(); },
                       .method = "/etcdserverpb.Watch/Watch",
                       .request = request.SerializeAsString(),
                       .publish =
                           [this](const std::string& mark) {
                             std::string value = ValueOf(0);
                             return Store(kWatchedName, value.replace(0, mark.size(), mark));
                           }};
  }

 private:
  std::shared_ptr<grpc::Channel> Connect() const {
    return ConnectWithCertificates(absl::StrCat("127.0.0.1:", port_), certificates_folder_);
  }

  absl::Status Store(const std::string& key, const std::string& value, bool wait_for_ready = false) {
    grpc::ClientContext context;
    context.set_wait_for_ready(wait_for_ready);
    context.set_deadline(std::chrono::system_clock::now() + kStartPatience);
    etcdserverpb::PutRequest request;
    etcdserverpb::PutResponse response;
    request.set_key(key);
    request.set_value(value);
    const grpc::Status status = stub_->Put(&context, request, &response);
    return status.ok() ? absl::OkStatus() : absl::InternalError(status.error_message());
  }

  const std::string certificates_folder_;
  const int port_;
  ServerProcess server_;
  std::unique_ptr<etcdserverpb::KV::Stub> stub_;
};

}  // namespace

std::unique_ptr<DirectorySubject> MakeEtcdSubject(const std::string& certificates_folder,
                                                  const std::string& data_folder, int names) {
  if (access(kProgram, X_OK) != 0) {
    std::cerr << "note: etcd is not installed; `third_party/install.sh bench` installs it" << std::endl;
    return nullptr;
  }
  auto subject = std::make_unique<EtcdSubject>(certificates_folder, data_folder);
  const absl::Status status = subject->Fill(names);
  if (status.ok()) return subject;
  std::cerr << "note: etcd is not measured: " << status << std::endl;
  return nullptr;
}

}  // namespace pylabhub::bench
