#include "broker/flags.h"

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <map>

#include "broker/broker_info.h"

namespace pylabhub::broker {
namespace {

constexpr char kDescription[] =
    "Tells processes where channels are: a directory over gRPC with mutual TLS.\n"
    "\n"
    "Started with no certificates, it makes a private set in its state folder and says what clients need.";

constexpr char kFooter[] =
    "Once it answers calls it prints \"listening on ADDRESS:PORT\" to standard output; logs go to standard "
    "error.\n"
    "SIGTERM and SIGINT end it in an orderly way. Exit codes: 0 stopped by a signal, 1 could not start, 2 "
    "wrong flags.";

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

std::variant<Flags, ExitCode> ParseFlags(int argc, char** argv) {
  Flags flags;
  flags.state_dir = DefaultStateDir();
  CLI::App app(kDescription, "pylabhub-broker");
  app.footer(kFooter);
  app.set_version_flag("--version", std::string("pylabhub-broker ") + kBrokerVersion);

  app.add_option("--address", flags.address,
                 "IP address to listen on; 0.0.0.0 or :: for every one of this host")
      ->capture_default_str()
      ->group("Listening");
  app.add_option("--port", flags.port, "TCP port; 0 takes any that is free")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str()
      ->group("Listening");
  app.add_option("--port-file", flags.port_file,
                 "File to write the bound port to, for scripts; removed at the end")
      ->type_name("FILE")
      ->group("Listening");

  auto* cert = app.add_option("--server-cert", flags.server_cert, "The broker's certificate (PEM)");
  auto* key = app.add_option("--server-key", flags.server_key, "Its private key (PEM, mode 0600)");
  auto* ca = app.add_option("--ca", flags.ca, "CA that client certificates must come from (PEM)");
  for (CLI::Option* option : {cert, key, ca})
    option->type_name("FILE")->group("Certificates: all three, or none");
  cert->needs(key, ca);
  key->needs(cert, ca);
  ca->needs(cert, key);
  app.add_option("--state-dir", flags.state_dir,
                 "Folder for what the broker keeps: its store, and certificates that it made itself")
      ->type_name("DIR")
      ->capture_default_str()
      ->group("Certificates: all three, or none");
  app.add_option(
         "--server-name", flags.server_names,
         "Host name or address that clients use, for the certificate made on first start; may be repeated")
      ->type_name("NAME")
      ->group("Certificates: all three, or none");

  app.add_option("--store", flags.store,
                 "Where what must not be forgotten is kept: sqlite (broker.db in the state folder) or none")
      ->check(CLI::IsMember({"sqlite", "none"}))
      ->capture_default_str()
      ->group("Behaviour");
  app.add_option("--admin", flags.admins,
                 "Identity that may close channels, list sessions and drain the broker; may be repeated")
      ->type_name("IDENTITY")
      ->group("Behaviour");
  AddDuration(app, "--lease-ttl", flags.lease_ttl,
              "How long a process that sends no heartbeat is believed alive")
      ->group("Behaviour");
  AddDuration(app, "--shutdown-grace", flags.shutdown_grace, "How long calls in progress may take at the end")
      ->group("Behaviour");
  app.add_option("--max-threads", flags.max_threads, "How many calls may be served at once")
      ->check(CLI::Range(2, 4096))
      ->capture_default_str()
      ->group("Behaviour");

  const std::map<std::string, LogLevel> levels = {
      {"info", LogLevel::kInfo}, {"warning", LogLevel::kWarning}, {"error", LogLevel::kError}};
  const std::map<std::string, LogFormat> formats = {{"logfmt", LogFormat::kLogfmt},
                                                    {"json", LogFormat::kJson}};
  app.add_option("--log-level", flags.log_level, "Least level that is logged; every change of state is info")
      ->transform(CLI::CheckedTransformer(levels).description("info, warning or error"))
      ->default_str("info")
      ->group("Logging");
  app.add_option("--log-format", flags.log_format, "How a line of the log is written")
      ->transform(CLI::CheckedTransformer(formats).description("logfmt or json"))
      ->default_str("logfmt")
      ->group("Logging");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return ExitCode{app.exit(error) == 0 ? 0 : 2};
  }
  return flags;
}

}  // namespace pylabhub::broker
