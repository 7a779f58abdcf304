// A broker whose certificates, key and revocations lie in files, as a site has them, and clients of its authority.
#ifndef PYLABHUB_TESTS_ACCESS_LAB_H_
#define PYLABHUB_TESTS_ACCESS_LAB_H_

#include <grpcpp/channel.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "broker/embedded_broker.h"
#include "proto/tls/certificate_set.h"
#include "proto/tls/identity.h"
#include "proto/tls/issue.h"
#include "proto/tls/private_file.h"
#include "proto/tls/revocation_list.h"
#include "tests/support/temp_folder.h"
#include "tests/support/test_broker.h"

namespace pylabhub::testing {

// Certificates that a test issues; a failure ends the test program.
inline tls::Credential NewAuthority(const std::string& name = "lab CA") {
  return tls::MakeAuthority(name, tls::ValidFor(absl::Hours(1))).value();
}
inline tls::Credential NewServer(const tls::Credential& authority, const tls::Validity& validity) {
  tls::LeafSpec spec = tls::ServerSpec({});
  spec.validity = validity;
  return tls::IssueLeaf(authority, spec).value();
}
inline tls::Credential NewServer(const tls::Credential& authority) {
  return NewServer(authority, tls::ValidFor(absl::Hours(1)));
}
inline tls::Credential NewClient(const tls::Credential& authority, absl::string_view identity,
                                 const tls::Validity& validity) {
  tls::LeafSpec spec = tls::ClientSpec(identity);
  spec.validity = validity;
  return tls::IssueLeaf(authority, spec).value();
}
inline std::string SerialOf(const tls::Credential& credential) {
  return tls::Summarize(credential.certificate_pem).value().serial;
}

class Lab {
 public:
  // Looks at the files when Reload is called, and else hardly ever.
  explicit Lab(absl::Duration look_interval = absl::Hours(1)) : authority_(NewAuthority()) {
    Write(NewServer(authority_), authority_.certificate_pem);
    options_.certificate_files = {.paths = tls::ServerPathsIn(folder()),
                                  .revocations = revocations_path(),
                                  .revocations_may_be_missing = true};
    options_.certificate_look_interval = look_interval;
    options_.log = [this](const broker::LogRecord& record) {
      const std::lock_guard<std::mutex> lock(mutex_);
      log_.push_back(record);
    };
    Start();
  }

  void Start() {
    auto started = broker::StartBroker(options_);
    ASSERT_TRUE(started.ok()) << started.status();
    broker_ = *std::move(started);
  }

  void Stop() { broker_.reset(); }

  const tls::Credential& authority() const { return authority_; }
  std::string folder() const { return temp_.path(); }
  std::string revocations_path() const { return temp_ / "revocations.textproto"; }
  broker::EmbeddedBroker& broker() { return *broker_; }
  broker::BrokerOptions& options() { return options_; }

  // The server's files.
  void Write(const tls::Credential& server, const std::string& ca_pem) const {
    const tls::TlsPaths paths = tls::ServerPathsIn(folder());
    ASSERT_TRUE(tls::WritePrivateFile(paths.key, server.key_pem).ok());
    ASSERT_TRUE(tls::WritePrivateFile(paths.certificate, server.certificate_pem).ok());
    ASSERT_TRUE(tls::WritePrivateFile(paths.ca_certificate, ca_pem).ok());
  }
  void Write(const tls::Credential& server) const { Write(server, authority_.certificate_pem); }

  void WriteRevocations(const tls::RevocationList& list) const {
    ASSERT_TRUE(tls::WritePrivateFile(revocations_path(), list.ToText()).ok());
  }
  void RevokeIdentity(const std::string& identity) const {
    tls::RevocationList list;
    ASSERT_TRUE(list.AddIdentity(identity, {.reason = "a test"}).ok());
    WriteRevocations(list);
  }
  void RevokeSerial(const std::string& serial) const {
    tls::RevocationList list;
    ASSERT_TRUE(list.AddSerial(serial, {.reason = "a test"}).ok());
    WriteRevocations(list);
  }

  // A client's files, trusting this lab's authority.
  tls::TlsFiles Client(absl::string_view identity) const {
    return FilesOf(NewClient(authority_, identity, tls::ValidFor(absl::Hours(1))));
  }
  tls::TlsFiles FilesOf(const tls::Credential& client) const {
    return {.ca_certificate_pem = authority_.certificate_pem,
            .certificate_pem = client.certificate_pem,
            .key_pem = client.key_pem};
  }

  // A connection of its own.
  std::shared_ptr<grpc::Channel> Connect(const tls::TlsFiles& files) {
    return ConnectWith(broker_->target(), files);
  }

  // Messages of the log's records of this event, so far.
  std::vector<broker::LogRecord> Logged(const std::string& event) {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::vector<broker::LogRecord> found;
    for (const broker::LogRecord& record : log_) {
      if (record.event == event) found.push_back(record);
    }
    return found;
  }

 private:
  const TempFolder temp_;
  const tls::Credential authority_;
  broker::BrokerOptions options_;
  std::mutex mutex_;
  std::vector<broker::LogRecord> log_;  // under mutex_
  std::unique_ptr<broker::EmbeddedBroker> broker_;
};

}  // namespace pylabhub::testing

#endif  // PYLABHUB_TESTS_ACCESS_LAB_H_
