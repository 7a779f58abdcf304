#include "tests/bench/control/certificates.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <cstdlib>
#include <iostream>

namespace pylabhub::bench {

tls::TlsFiles FilesOrDie(const tls::TlsPaths& paths) {
  absl::StatusOr<tls::TlsFiles> files = tls::LoadTlsFiles(paths);
  if (files.ok()) return *std::move(files);
  std::cerr << "error: " << files.status() << std::endl;
  std::exit(2);
}

std::shared_ptr<grpc::Channel> ConnectWithCertificates(const std::string& target, const std::string& folder,
                                                       const std::string& identity) {
  tls::TlsPaths paths = tls::ClientPathsIn(folder);
  paths.certificate = folder + "/" + identity + ".pem";
  paths.key = folder + "/" + identity + ".key";
  const tls::TlsFiles files = FilesOrDie(paths);
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(
      target, grpc::SslCredentials({files.ca_certificate_pem, files.key_pem, files.certificate_pem}),
      arguments);
}

}  // namespace pylabhub::bench
