// pylabhub-broker: one broker as a process. Signals, umask, log and flags are set up here and nowhere else.

#include <grpc/support/log.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "broker/embedded_broker.h"
#include "broker/flags.h"
#include "broker/health_command.h"
#include "broker/log.h"
#include "broker/process_guard.h"
#include "broker/server_certificates.h"
#include "broker/service_manager.h"
#include "broker/store_command.h"
#include "proto/tls/private_file.h"

namespace pylabhub::broker {
namespace {

// What may come after shutdown_grace: threads that end, files that are removed.
constexpr absl::Duration kExitMargin = absl::Seconds(5);

const LogHook* grpc_log = nullptr;

void LogForGrpc(gpr_log_func_args* args) {
  (*grpc_log)({LogLevel::kError, "grpc", {{"message", args->message}}});
}

// Takes over the process's log, for good: `log` must outlive every thread of gRPC's.
void SendGrpcLogTo(const LogHook& log) {
  grpc_log = &log;
  gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
  gpr_set_log_function(LogForGrpc);
}

// A port below this takes a capability.
constexpr int kFirstFreePort = 1024;

// The signals that end the process, and SIGHUP, wait to be fetched, in this thread and in every one that it starts.
sigset_t BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  // A file that may not grow is an error of the store, which can be told of, and not the end.
  signal(SIGXFSZ, SIG_IGN);
  return signals;
}

// Lets the process have as many descriptors as the system allows it: each connection takes one.
void RaiseDescriptorLimit(const LogHook& log) {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlim_t before = limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) getrlimit(RLIMIT_NOFILE, &limit);
  log({LogLevel::kInfo,
       "descriptor_limit",
       {{"before", absl::StrCat(before)}, {"now", absl::StrCat(limit.rlim_cur)}}});
}

// The socket that memory is handed over on; empty: none.
std::string HandOverSocketOf(const Settings& settings, const LogHook& log) {
  // What a Unix socket's path may have.
  constexpr size_t kMaxPathBytes = 107;
  if (settings.hand_over_socket == "none") return "";
  if (!settings.hand_over_socket.empty()) return settings.hand_over_socket;
  std::string path = settings.state_dir + "/hand_over.sock";
  if (path.size() <= kMaxPathBytes) return path;
  log({LogLevel::kWarning,
       "hand_over_not_offered",
       {{"socket", path},
        {"message", "the path is too long for a socket; choose one with --handover-socket"}}});
  return "";
}

absl::StatusOr<std::unique_ptr<EmbeddedBroker>> Start(const Settings& settings, const LogHook& log) {
  const CertificateSource source = {.given = {settings.ca, settings.server_cert, settings.server_key},
                                    .revocations = settings.revocations,
                                    .crl = settings.crl,
                                    .state_dir = settings.state_dir,
                                    .server_names = settings.server_names};
  auto certificates = FindOrMakeCertificates(source, log);
  if (!certificates.ok()) return certificates.status();
  return StartBroker(
      {.address = settings.address,
       .port = settings.port,
       .unix_socket = settings.unix_socket,
       .unix_socket_mode = settings.unix_socket_mode,
       .connection_caps = settings.connection_caps,
       .hand_over = {.socket = HandOverSocketOf(settings, log),
                     .mode = settings.hand_over_mode,
                     .allowed_uids = settings.hand_over_uids,
                     .max_descriptors = settings.hand_over_descriptors,
                     .max_descriptors_per_identity = settings.hand_over_descriptors_per_identity},
       .metrics_address = settings.metrics_address,
       .metrics_allow_remote = settings.metrics_allow_remote,
       .channelz = settings.channelz,
       .certificate_files = *std::move(certificates),
       .store_folder = settings.store == "none" ? "" : settings.state_dir,
       .registry = {.lease_ttl = settings.lease_ttl, .limits = settings.limits},
       .policy_file = settings.policy,
       .admins = settings.admins,
       .max_threads = settings.max_threads,
       .shutdown_grace = settings.shutdown_grace,
       .log = log});
}

// The next of `signals`; 0 if there is none within `timeout`.
int AwaitSignal(const sigset_t& signals, std::optional<absl::Duration> timeout) {
  while (true) {
    const timespec wait = absl::ToTimespec(timeout.value_or(absl::ZeroDuration()));
    const int signal_number =
        timeout.has_value() ? sigtimedwait(&signals, nullptr, &wait) : sigwaitinfo(&signals, nullptr);
    if (signal_number > 0) return signal_number;
    if (errno == EAGAIN) return 0;
  }
}

// Serves until it is told to end: the signal that said so. Takes over what its files say at SIGHUP, and shows `manager` that
// it lives by asking the directory: a broker whose directory is stuck is not shown alive.
int AwaitEnd(const sigset_t& signals, EmbeddedBroker& broker, const ServiceManager& manager) {
  const std::string status = absl::StrCat("listening on ", broker.target());
  manager.Ready(status);
  while (true) {
    const int signal_number = AwaitSignal(signals, manager.alive_interval());
    if (signal_number == 0) {
      broker.AskDirectory();
      manager.Alive();
    } else if (signal_number == SIGHUP) {
      manager.Reloading();
      // It says itself in the log what is wrong.
      broker.Reload().IgnoreError();
      manager.Ready(status);
    } else {
      manager.Stopping();
      return signal_number;
    }
  }
}

int Run(const Settings& settings) {
  const sigset_t signals = BlockSignals();
  const ServiceManager manager = ServiceManager::TakeFromEnvironment();
  // Debian's Abseil looks for deadlocks at every lock, which costs 3% of the CPU.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  static const LogHook log = MakeStderrLog(settings.log_level, settings.log_format);
  const bool low_port = settings.port > 0 && settings.port < kFirstFreePort;
  GuardProcess({.sandbox = settings.sandbox, .keep_bind_service = low_port}, log);
  SendGrpcLogTo(log);
  RaiseDescriptorLimit(log);

  const auto fail = [&](const absl::Status& status) {
    log({LogLevel::kError, "cannot_start", {{"message", std::string(status.message())}}});
    return 1;
  };
  auto broker = Start(settings, log);
  if (!broker.ok()) return fail(broker.status());
  if (!settings.port_file.empty()) {
    const absl::Status written =
        tls::WritePrivateFile(settings.port_file, absl::StrCat((*broker)->port(), "\n"));
    if (!written.ok()) return fail(written);
  }
  LogRecord started = {.event = "started", .fields = {{"address", (*broker)->target()}}};
  if (const std::string local = (*broker)->unix_target(); !local.empty()) {
    started.fields.emplace_back("unix", local);
  }
  if (const std::string scraped = (*broker)->metrics_address(); !scraped.empty()) {
    started.fields.emplace_back("metrics", absl::StrCat("http://", scraped, "/metrics"));
  }
  log(started);
  std::cout << "listening on " << (*broker)->target() << std::endl;

  const int signal_number = AwaitEnd(signals, **broker, manager);
  log({LogLevel::kInfo, "stopping", {{"signal", signal_number == SIGTERM ? "SIGTERM" : "SIGINT"}}});
  // Whatever happens now, the process ends: SIGALRM kills it.
  alarm(static_cast<unsigned>(
      absl::ToInt64Seconds(absl::Ceil(settings.shutdown_grace + kExitMargin, absl::Seconds(1)))));
  (*broker)->Stop();
  if (!settings.port_file.empty()) std::remove(settings.port_file.c_str());
  log({LogLevel::kInfo, "stopped", {}});
  return 0;
}

}  // namespace
}  // namespace pylabhub::broker

int main(int argc, char** argv) {
  if (const auto exit_code = pylabhub::broker::RunStoreCommand(argc, argv)) return *exit_code;
  if (const auto exit_code = pylabhub::broker::RunHealthCommand(argc, argv)) return *exit_code;
  const auto flags = pylabhub::broker::ParseFlags(argc, argv);
  if (const auto* exit_code = std::get_if<pylabhub::broker::ExitCode>(&flags)) return exit_code->value;
  return pylabhub::broker::Run(std::get<pylabhub::broker::Settings>(flags));
}
