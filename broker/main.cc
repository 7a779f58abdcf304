// pylabhub-broker: one broker as a process. Signals, umask, log and flags are set up here and nowhere else.

#include <grpc/support/log.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "broker/embedded_broker.h"
#include "broker/flags.h"
#include "broker/log.h"
#include "broker/server_certificates.h"
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

// The signals that end the process wait to be fetched, in this thread and in every one that it starts.
sigset_t BlockEndingSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  // A file that may not grow is an error of the store, which can be told of, and not the end.
  signal(SIGXFSZ, SIG_IGN);
  return signals;
}

absl::StatusOr<std::unique_ptr<EmbeddedBroker>> Start(const Flags& flags, const LogHook& log) {
  const CertificateSource source = {.given = {flags.ca, flags.server_cert, flags.server_key},
                                    .state_dir = flags.state_dir,
                                    .server_names = flags.server_names};
  auto certificates = LoadOrMakeCertificates(source, log);
  if (!certificates.ok()) return certificates.status();
  return StartBroker({.address = flags.address,
                      .port = flags.port,
                      .tls = *std::move(certificates),
                      .store_folder = flags.store == "none" ? "" : flags.state_dir,
                      .registry = {.lease_ttl = flags.lease_ttl},
                      .admins = flags.admins,
                      .max_threads = flags.max_threads,
                      .shutdown_grace = flags.shutdown_grace,
                      .log = log});
}

int Run(const Flags& flags) {
  umask(077);
  const sigset_t ending_signals = BlockEndingSignals();
  // Debian's Abseil looks for deadlocks at every lock, which costs 3% of the CPU.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  static const LogHook log = MakeStderrLog(flags.log_level, flags.log_format);
  SendGrpcLogTo(log);

  const auto fail = [&](const absl::Status& status) {
    log({LogLevel::kError, "cannot_start", {{"message", std::string(status.message())}}});
    return 1;
  };
  auto broker = Start(flags, log);
  if (!broker.ok()) return fail(broker.status());
  if (!flags.port_file.empty()) {
    const absl::Status written =
        tls::WritePrivateFile(flags.port_file, absl::StrCat((*broker)->port(), "\n"));
    if (!written.ok()) return fail(written);
  }
  std::cout << "listening on " << (*broker)->target() << std::endl;
  log({LogLevel::kInfo, "started", {{"address", (*broker)->target()}}});

  int signal_number = 0;
  sigwait(&ending_signals, &signal_number);
  log({LogLevel::kInfo, "stopping", {{"signal", signal_number == SIGTERM ? "SIGTERM" : "SIGINT"}}});
  // Whatever happens now, the process ends: SIGALRM kills it.
  alarm(static_cast<unsigned>(
      absl::ToInt64Seconds(absl::Ceil(flags.shutdown_grace + kExitMargin, absl::Seconds(1)))));
  (*broker)->Stop();
  if (!flags.port_file.empty()) std::remove(flags.port_file.c_str());
  log({LogLevel::kInfo, "stopped", {}});
  return 0;
}

}  // namespace
}  // namespace pylabhub::broker

int main(int argc, char** argv) {
  if (const auto exit_code = pylabhub::broker::RunStoreCommand(argc, argv)) return *exit_code;
  const auto flags = pylabhub::broker::ParseFlags(argc, argv);
  if (const auto* exit_code = std::get_if<pylabhub::broker::ExitCode>(&flags)) return exit_code->value;
  return pylabhub::broker::Run(std::get<pylabhub::broker::Flags>(flags));
}
