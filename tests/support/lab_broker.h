// A broker as a lab has it: certificates in a folder, a port that stays the same when it is started again. In the
// test's process, over loopback mutual TLS.
#ifndef PYLABHUB_TESTS_SUPPORT_LAB_BROKER_H_
#define PYLABHUB_TESTS_SUPPORT_LAB_BROKER_H_

#include <memory>
#include <string>

#include "broker/embedded_broker.h"
#include "client/connect_options.h"
#include "proto/tls/certificate_set.h"
#include "tests/support/temp_folder.h"

namespace pylabhub::testing {

class LabBroker {
 public:
  // A short lease, so that heartbeats are frequent.
  explicit LabBroker(absl::Duration lease_ttl = absl::Seconds(2), broker::HandOverOptions hand_over = {}) {
    options_.hand_over = std::move(hand_over);
    EXPECT_TRUE(tls::CreateCertificateSet(certificates_folder()).ok());
    options_.registry.lease_ttl = lease_ttl;
    Start();
  }

  // Starts again on the same port, with nothing remembered.
  void Restart() {
    Stop();
    Start();
  }
  void Stop() { broker_.reset(); }

  std::string address() const { return "127.0.0.1:" + std::to_string(options_.port); }
  std::string certificates_folder() const { return temp_ / "certs"; }
  ConnectOptions ToHere(MessengerEventHook on_event = nullptr) const {
    return {.address = address(),
            .certificates_folder = certificates_folder(),
            .connect_timeout = absl::Seconds(20),
            .messenger = {.on_event = std::move(on_event)}};
  }

 private:
  void Start() {
    absl::StatusOr<tls::TlsFiles> files = tls::LoadTlsFiles(tls::ServerPathsIn(certificates_folder()));
    ASSERT_TRUE(files.ok()) << files.status();
    options_.tls = *std::move(files);
    absl::StatusOr<std::unique_ptr<broker::EmbeddedBroker>> started = broker::StartBroker(options_);
    ASSERT_TRUE(started.ok()) << started.status();
    broker_ = *std::move(started);
    options_.port = broker_->port();
  }

  TempFolder temp_;
  broker::BrokerOptions options_;
  std::unique_ptr<broker::EmbeddedBroker> broker_;
};

}  // namespace pylabhub::testing

#endif  // PYLABHUB_TESTS_SUPPORT_LAB_BROKER_H_
