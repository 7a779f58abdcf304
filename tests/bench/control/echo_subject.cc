#include "tests/bench/control/echo_subject.h"

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <iostream>

#include "tests/bench/control/certificates.h"
#include "tests/bench/control/echo.grpc.pb.h"
#include "tests/bench/control/names.h"

namespace pylabhub::bench {
namespace {

class EchoService final : public Echo::Service {
  grpc::Status Lookup(grpc::ServerContext*, const EchoRequest* request, EchoResponse* response) override {
    response->set_value(request->name());
    response->mutable_value()->resize(kValueBytes, 'x');
    return grpc::Status::OK;
  }
};

class EchoSubject final : public DirectorySubject {
 public:
  EchoSubject(const std::string& program, const std::string& folder)
      : server_({program, "--serve-echo", "--certificates", folder}),
        stub_(Echo::NewStub(ConnectWithCertificates(server_.ReadLine(), folder))) {}

  std::string name() const override { return "echo"; }
  const ServerProcess& server() const override { return server_; }

  absl::Status Lookup(uint64_t index) override {
    grpc::ClientContext context;
    EchoRequest request;
    EchoResponse response;
    request.set_name(NameOf(index));
    const grpc::Status status = stub_->Lookup(&context, request, &response);
    if (!status.ok()) return absl::InternalError(status.error_message());
    return response.value().size() == kValueBytes ? absl::OkStatus() : absl::DataLossError("another answer");
  }

 private:
  ServerProcess server_;
  std::unique_ptr<Echo::Stub> stub_;
};

}  // namespace

std::unique_ptr<DirectorySubject> MakeEchoSubject(const std::string& program,
                                                  const std::string& certificates_folder) {
  return std::make_unique<EchoSubject>(program, certificates_folder);
}

int ServeEcho(const std::string& certificates_folder) {
  const tls::TlsFiles files = FilesOrDie(tls::ServerPathsIn(certificates_folder));
  grpc::SslServerCredentialsOptions options(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = files.ca_certificate_pem;
  options.pem_key_cert_pairs.push_back({files.key_pem, files.certificate_pem});
  EchoService service;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::SslServerCredentials(options), &port);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return 2;
  std::cout << "127.0.0.1:" << port << std::endl;
  server->Wait();
  return 0;
}

}  // namespace pylabhub::bench
