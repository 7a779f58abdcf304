#include "broker/flags.h"

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "broker/broker_info.h"
#include "broker/config_file.h"
#include "proto/policy/policy_file.h"
#include "proto/policy/unreachable.h"

namespace pylabhub::broker {
namespace {

constexpr char kDescription[] =
    "Tells processes where channels are: a directory over gRPC with mutual TLS.\n"
    "\n"
    "Started with no certificates, it makes a private set in its state folder and says what clients need.";

constexpr char kFooter[] =
    "Once it answers calls it prints \"listening on ADDRESS:PORT\" to standard output; logs go to standard "
    "error.\n"
    "SIGTERM and SIGINT end it in an orderly way; SIGHUP makes it look at its certificates at once. Exit "
    "codes: 0 stopped by a signal, 1 could not start, 2 "
    "wrong flags or configuration.";

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// Reads "10s", "1m30s", "500ms" into `duration`.
CLI::Option* AddDuration(CLI::App& app, const std::string& flag, absl::Duration& duration,
                         const std::string& help) {
  return app
      .add_option_function<std::string>(
          flag,
          [&duration, flag](const std::string& text) {
            if (!absl::ParseDuration(text, &duration) || duration < absl::ZeroDuration()) {
              throw CLI::ValidationError(flag,
                                         "\"" + text + "\" is no duration; write for instance 10s or 500ms");
            }
          },
          help)
      ->type_name("DURATION")
      ->default_str(absl::FormatDuration(duration));
}

void AddListening(CLI::App& app, Settings& settings) {
  app.add_option("--address", settings.address,
                 "IP address to listen on; 0.0.0.0 or :: for every one of this host")
      ->capture_default_str()
      ->group("Listening");
  app.add_option("--port", settings.port, "TCP port; 0 takes any that is free")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str()
      ->group("Listening");
  app.add_option("--port-file", settings.port_file,
                 "File to write the bound port to, for scripts; removed at the end")
      ->type_name("FILE")
      ->group("Listening");
  app.add_option("--unix-socket", settings.unix_socket,
                 "Unix socket to listen on besides, for clients of this host")
      ->type_name("FILE")
      ->group("Listening");
  app.add_option_function<std::string>(
         "--unix-socket-mode",
         [&settings](const std::string& text) {
           if (!ParseMode(text, settings.unix_socket_mode)) {
             throw CLI::ValidationError("--unix-socket-mode",
                                        "\"" + text + "\" is no mode; write octal, for instance 0660");
           }
         },
         "Who may connect to it")
      ->type_name("OCTAL")
      ->default_str("0660")
      ->group("Listening");
}

void AddHandOver(CLI::App& app, Settings& settings) {
  app.add_option(
         "--handover-socket", settings.hand_over_socket,
         "Unix socket on which sealed memory is handed over to clients of this host; none: not at all; "
         "hand_over.sock in the state folder if left out")
      ->type_name("FILE")
      ->group("Hand-over of memory");
  app.add_option_function<std::string>(
         "--handover-mode",
         [&settings](const std::string& text) {
           if (!ParseMode(text, settings.hand_over_mode)) {
             throw CLI::ValidationError("--handover-mode",
                                        "\"" + text + "\" is no mode; write octal, for instance 0660");
           }
         },
         "Who may connect to it")
      ->type_name("OCTAL")
      ->default_str("0660")
      ->group("Hand-over of memory");
  app.add_option("--handover-uid", settings.hand_over_uids,
                 "User who may use it, as a number; may be repeated; whoever can connect if left out")
      ->type_name("UID")
      ->group("Hand-over of memory");
}

void AddCertificates(CLI::App& app, Settings& settings) {
  auto* cert = app.add_option("--server-cert", settings.server_cert, "The broker's certificate (PEM)");
  auto* key = app.add_option("--server-key", settings.server_key, "Its private key (PEM, mode 0600)");
  auto* ca = app.add_option("--ca", settings.ca, "CA that client certificates must come from (PEM)");
  for (CLI::Option* option : {cert, key, ca})
    option->type_name("FILE")->group("Certificates: all three, or none");
  cert->needs(key, ca);
  key->needs(cert, ca);
  ca->needs(cert, key);
  app.add_option("--revocations", settings.revocations,
                 "Who is revoked (revocations.textproto, written by `pylabhub certs revoke`); beside the "
                 "certificates "
                 "that the broker made itself, if left out")
      ->type_name("FILE")
      ->group("Revocation");
  app.add_option("--crl", settings.crl, "Lists of the authorities (CRL, PEM)")
      ->type_name("FILE")
      ->group("Revocation");
  app.add_option("--state-dir", settings.state_dir,
                 "Folder for what the broker keeps: its store, and certificates that it made itself")
      ->type_name("DIR")
      ->capture_default_str()
      ->group("Certificates: all three, or none");
  app.add_option(
         "--server-name", settings.server_names,
         "Host name or address that clients use, for the certificate made on first start; may be repeated")
      ->type_name("NAME")
      ->group("Certificates: all three, or none");
}

void AddBehaviour(CLI::App& app, Settings& settings) {
  app.add_option("--store", settings.store,
                 "Where what must not be forgotten is kept: sqlite (broker.db in the state folder) or none")
      ->check(CLI::IsMember({"sqlite", "none"}))
      ->capture_default_str()
      ->group("Behaviour");
  app.add_option("--admin", settings.admins,
                 "Identity that may close channels, list sessions and drain the broker; may be repeated")
      ->type_name("IDENTITY")
      ->group("Access");
  app.add_option("--policy", settings.policy,
                 "File of rules, who may do what, in place of --admin; followed as it changes")
      ->type_name("FILE")
      ->group("Access");
  AddDuration(app, "--lease-ttl", settings.lease_ttl,
              "How long a process that sends no heartbeat is believed alive")
      ->group("Behaviour");
  AddDuration(app, "--shutdown-grace", settings.shutdown_grace,
              "How long calls in progress may take at the end")
      ->group("Behaviour");
  app.add_flag_callback(
         "--no-sandbox", [&settings] { settings.sandbox = false; },
         "Do not let the kernel refuse system calls that no broker needs")
      ->group("Behaviour");
  app.add_option("--max-threads", settings.max_threads, "How many calls may be served at once")
      ->check(CLI::Range(2, 4096))
      ->capture_default_str()
      ->group("Behaviour");
}

void AddObservation(CLI::App& app, Settings& settings) {
  app.add_option("--metrics-address", settings.metrics_address,
                 "Where Prometheus fetches metrics, for instance 127.0.0.1:9464; nowhere if left out")
      ->type_name("ADDRESS:PORT")
      ->group("Observation");
  app.add_flag("--metrics-allow-remote", settings.metrics_allow_remote,
               "Let --metrics-address be one that other hosts can reach")
      ->group("Observation");
  app.add_flag("--channelz", settings.channelz,
               "Answer gRPC's channelz, which shows every client's address to every client")
      ->group("Observation");
  const auto& levels = LogLevelWords();
  const auto& formats = LogFormatWords();
  app.add_option("--log-level", settings.log_level,
                 "Least level that is logged; every change of state is info")
      ->transform(CLI::CheckedTransformer(levels).description("info, warning or error"))
      ->default_str("info")
      ->group("Logging");
  app.add_option("--log-format", settings.log_format, "How a line of the log is written")
      ->transform(CLI::CheckedTransformer(formats).description("logfmt or json"))
      ->default_str("logfmt")
      ->group("Logging");
}

// Says what is wrong with the policy, or odd about it. Whether it is good, or there is none.
bool CheckPolicy(const std::string& file) {
  if (file.empty()) return true;
  const policy::PolicyReport report = policy::ReadPolicyFile(file);
  if (!report.problems.empty()) std::cerr << policy::TextOf(report.problems, file) << std::endl;
  if (report.policy == nullptr) return false;
  const std::vector<policy::Problem> unreachable = policy::FindUnreachable(*report.policy);
  if (!unreachable.empty()) std::cerr << policy::TextOf(unreachable, file) << std::endl;
  return true;
}

struct ConfigChoice {
  std::string file = {};
  bool check_only = false;
};

// Reads the command line over `settings`. The exit code if the process is to end.
std::optional<ExitCode> ReadCommandLine(int argc, char** argv, Settings& settings, ConfigChoice& config) {
  CLI::App app(kDescription, "pylabhub-broker");
  app.footer(kFooter);
  app.set_version_flag("--version", std::string("pylabhub-broker ") + kBrokerVersion);
  auto* file = app.add_option("--config", config.file, "File of settings; flags go before what it says")
                   ->type_name("FILE")
                   ->group("Configuration");
  app.add_flag("--check-config", config.check_only, "Say whether the file is good, and end")
      ->needs(file)
      ->group("Configuration");
  AddListening(app, settings);
  AddHandOver(app, settings);
  AddCertificates(app, settings);
  AddBehaviour(app, settings);
  AddObservation(app, settings);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return ExitCode{app.exit(error) == 0 ? 0 : 2};
  }
  return std::nullopt;
}

}  // namespace

std::string DefaultStateDir() {
  // systemd names one folder here, or several with colons between them.
  if (const std::string systemd = Variable("STATE_DIRECTORY"); !systemd.empty()) {
    return systemd.substr(0, systemd.find(':'));
  }
  if (const std::string xdg = Variable("XDG_STATE_HOME"); !xdg.empty()) return xdg + "/pylabhub";
  if (const std::string home = Variable("HOME"); !home.empty()) return home + "/.local/state/pylabhub";
  return "/var/lib/pylabhub";
}

std::variant<Settings, ExitCode> ParseFlags(int argc, char** argv) {
  Settings settings;
  settings.state_dir = DefaultStateDir();
  const Settings defaults = settings;
  ConfigChoice config;
  if (const auto end = ReadCommandLine(argc, argv, settings, config); end.has_value()) return *end;
  if (config.file.empty()) return settings;

  // Once more over what the file says, so that a flag wins.
  settings = defaults;
  if (absl::Status status = ReadConfigFile(config.file, settings); !status.ok()) {
    std::cerr << status.message() << std::endl;
    return ExitCode{2};
  }
  if (const auto end = ReadCommandLine(argc, argv, settings, config); end.has_value()) return *end;
  if (!config.check_only) return settings;
  if (!CheckPolicy(settings.policy)) return ExitCode{2};
  std::cout << config.file << ": good" << std::endl;
  return ExitCode{0};
}

}  // namespace pylabhub::broker
