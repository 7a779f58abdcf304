#include "tests/support/test_broker.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <cstdlib>
#include <iostream>
#include <utility>

#include "absl/status/statusor.h"

namespace pylabhub::testing {
namespace {

template <typename T>
T ValueOrDie(absl::StatusOr<T> result) {
  if (result.ok()) return *std::move(result);
  std::cerr << "test set-up failed: " << result.status() << std::endl;
  std::abort();
}

std::shared_ptr<grpc::Channel> Connect(const std::string& target,
                                       const grpc::SslCredentialsOptions& options) {
  grpc::ChannelArguments arguments;
  // A connection of its own, so that one test's certificate is not another's.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(target, grpc::SslCredentials(options), arguments);
}

}  // namespace

TestAuthority::TestAuthority()
    : credential_(ValueOrDie(tls::MakeAuthority("pylabhub test CA", tls::ValidFor(absl::Hours(1))))) {}

tls::TlsFiles TestAuthority::Server() const { return Issue(tls::ServerSpec({})); }

tls::TlsFiles TestAuthority::Client(absl::string_view identity) const {
  return Issue(tls::ClientSpec(identity));
}

tls::TlsFiles TestAuthority::Client(absl::string_view identity, const tls::Validity& validity) const {
  tls::LeafSpec spec = tls::ClientSpec(identity);
  spec.validity = validity;
  return Issue(spec);
}

tls::TlsFiles TestAuthority::Issue(const tls::LeafSpec& spec) const {
  const tls::Credential leaf = ValueOrDie(tls::IssueLeaf(credential_, spec));
  return {.ca_certificate_pem = credential_.certificate_pem,
          .certificate_pem = leaf.certificate_pem,
          .key_pem = leaf.key_pem};
}

std::unique_ptr<broker::EmbeddedBroker> StartTestBroker(const TestAuthority& authority,
                                                        broker::BrokerOptions options) {
  options.tls = authority.Server();
  return ValueOrDie(broker::StartBroker(std::move(options)));
}

std::shared_ptr<grpc::Channel> ConnectWith(const std::string& target, const tls::TlsFiles& files) {
  return Connect(target, {files.ca_certificate_pem, files.key_pem, files.certificate_pem});
}

std::shared_ptr<grpc::Channel> ConnectWithoutCertificate(const std::string& target,
                                                         const std::string& ca_certificate_pem) {
  return Connect(target, {ca_certificate_pem, "", ""});
}

}  // namespace pylabhub::testing
