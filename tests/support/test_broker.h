// Brokers and certificates for tests: a real broker on a free loopback port, with an authority of the test's
// own.
#ifndef PYLABHUB_TESTS_SUPPORT_TEST_BROKER_H_
#define PYLABHUB_TESTS_SUPPORT_TEST_BROKER_H_

#include <grpcpp/channel.h>

#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "broker/embedded_broker.h"
#include "proto/tls/certificate_set.h"
#include "proto/tls/issue.h"

namespace pylabhub::testing {

// Issues what a test needs; a failure ends the test program.
class TestAuthority {
 public:
  TestAuthority();

  // A broker's files, good for loopback.
  tls::TlsFiles Server() const;

  // A client's files whose certificate proves `identity`.
  tls::TlsFiles Client(absl::string_view identity) const;
  // The same with dates of its own.
  tls::TlsFiles Client(absl::string_view identity, const tls::Validity& validity) const;

 private:
  tls::TlsFiles Issue(const tls::LeafSpec& spec) const;

  tls::Credential credential_;
};

// Starts a broker whose certificates come from `authority`; `options.tls` need not be set. A failure ends the
// test program.
std::unique_ptr<broker::EmbeddedBroker> StartTestBroker(const TestAuthority& authority,
                                                        broker::BrokerOptions options = {});

// A connection of its own (never shared with another of the process), with mutual TLS.
std::shared_ptr<grpc::Channel> ConnectWith(const std::string& target, const tls::TlsFiles& files);

// The same without a client certificate.
std::shared_ptr<grpc::Channel> ConnectWithoutCertificate(const std::string& target,
                                                         const std::string& ca_certificate_pem);

}  // namespace pylabhub::testing

#endif  // PYLABHUB_TESTS_SUPPORT_TEST_BROKER_H_
