#include "client/cli/broker_option.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/terminal.h"

namespace pylabhub::cli {
namespace {

constexpr char kCertificatesMend[] =
    "--certs is a folder with ca.pem, client.pem and client.key, which `pylabhub certs init` makes";

void Tell(const MessengerEvent& event) {
  Note(absl::StrCat(event.channel.empty() ? "broker" : event.channel, ": ", NameOf(event.kind),
                    event.status.ok() ? "" : ": ", event.status.message()));
}

}  // namespace

void AddBroker(CLI::App& app, BrokerOption& option) {
  app.add_option("--broker", option.address,
                 "Find or register the channel with this broker; without one, by name on this host")
      ->envname("PYLABHUB_BROKER")
      ->type_name("HOST:PORT");
  app.add_option("--certs", option.certificates_folder, "Folder with ca.pem, client.pem and client.key")
      ->envname("PYLABHUB_CERTS")
      ->type_name("DIR");
}

absl::StatusOr<BrokerLink> BrokerLink::Connect(const BrokerOption& option) {
  BrokerLink link;
  if (option.address.empty()) return link;
  if (option.certificates_folder.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--broker ", option.address, " needs --certs DIR: ", kCertificatesMend));
  }
  ConnectOptions connect;
  connect.address = option.address;
  connect.certificates_folder = option.certificates_folder;
  connect.messenger.on_event = [lost = link.registration_lost_](const MessengerEvent& event) {
    if (event.kind == MessengerEventKind::kRegistrationLost) lost->store(true, std::memory_order_relaxed);
    Tell(event);
  };
  absl::StatusOr<std::unique_ptr<Messenger>> messenger = Messenger::Connect(connect);
  // Nothing else can be missing yet.
  if (absl::IsNotFound(messenger.status())) {
    return absl::UnavailableError(absl::StrCat(messenger.status().message(), "; ", kCertificatesMend));
  }
  if (!messenger.ok()) return messenger.status();
  link.messenger_ = *std::move(messenger);
  return link;
}

}  // namespace pylabhub::cli
