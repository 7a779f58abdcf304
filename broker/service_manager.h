// Tells the service manager that started the process (systemd, as a rule) how it does: the protocol of sd_notify(3), which is
// text in a datagram to the socket that NOTIFY_SOCKET names. Without that variable every call does nothing.
//
// The protocol is spoken here, not by libsystemd, which exists as a shared library only: the broker is also linked into one
// static file.
//
// Thread safety: thread-safe.
// Errors:        what cannot be told is not told: a service runs without its manager.
#ifndef PYLABHUB_BROKER_SERVICE_MANAGER_H_
#define PYLABHUB_BROKER_SERVICE_MANAGER_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace pylabhub::broker {

class ServiceManager {
 public:
  // As the environment says; the variables are taken out of it, so that no child speaks for this process.
  static ServiceManager TakeFromEnvironment();

  // `notify_socket`: a path, or a name in the abstract namespace that begins with '@'; empty: nobody to tell.
  ServiceManager(std::string notify_socket, std::optional<absl::Duration> alive_interval)
      : notify_socket_(std::move(notify_socket)), alive_interval_(alive_interval) {}

  // How often Alive must be called: half of what the manager's watchdog allows. Nothing if nobody watches.
  std::optional<absl::Duration> alive_interval() const { return alive_interval_; }

  // It serves; `status` is for people: "listening on 127.0.0.1:5570".
  void Ready(absl::string_view status) const;
  // It reads its configuration again; Ready says that this is done.
  void Reloading() const;
  void Alive() const { Tell("WATCHDOG=1"); }
  void Stopping() const { Tell("STOPPING=1"); }

 private:
  void Tell(absl::string_view state) const;

  std::string notify_socket_;
  std::optional<absl::Duration> alive_interval_;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_SERVICE_MANAGER_H_
