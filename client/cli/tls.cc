#include "client/cli/tls.h"

#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/exit_code.h"
#include "client/cli/terminal.h"
#include "client/cli/tls_probe.h"

namespace pylabhub::cli {
namespace {

using nlohmann::ordered_json;

constexpr char kHelp[] = R"(
ADDRESS is HOST:PORT, [IPv6]:PORT or unix:PATH. Each step is a line; the first fault ends it, with its mend.

Examples:
  pylabhub tls check lab7:5570 --certs ~/pylabhub-certs
  pylabhub tls check unix:/run/pylabhub/broker.sock --certs certs --output json
)";

struct CheckOptions {
  TlsProbeOptions probe;
  Output output = Output::kText;
};

void Print(const TlsFinding& finding) {
  const std::string verdict = finding.fault.empty() ? "ok" : Paint(1, Colour::kRed, "FAULT");
  absl::PrintF("%-18s %s  %s\n", finding.step, verdict, finding.message);
  if (!finding.mend.empty()) absl::PrintF("%-18s mend: %s\n", "", finding.mend);
}

ordered_json ToJson(const TlsFinding& finding) {
  return {
      {"step", finding.step}, {"fault", finding.fault}, {"message", finding.message}, {"mend", finding.mend}};
}

ExitCode Check(const CheckOptions& options) {
  const std::vector<TlsFinding> findings = ProbeTls(options.probe);
  for (const TlsFinding& finding : findings) {
    if (options.output == Output::kJson) {
      absl::PrintF("%s\n", ToJson(finding).dump(-1, ' ', false, ordered_json::error_handler_t::replace));
    } else {
      Print(finding);
    }
  }
  return findings.back().exit_code;
}

}  // namespace

void AddTls(CLI::App& app, Action& chosen) {
  CLI::App* tls = app.add_subcommand("tls", "Find out why a connection to a broker fails");
  tls->require_subcommand(1);
  auto options = std::make_shared<CheckOptions>();
  CLI::App* verb = tls->add_subcommand("check", "Look at a broker's address step by step");
  verb->footer(absl::StrCat(kHelp, "\n", kExitCodeHelp));
  verb->add_option("ADDRESS", options->probe.address, "Where the broker should be")
      ->required()
      ->type_name("");
  verb->add_option("--certs", options->probe.certificates_folder,
                   "Folder with ca.pem, client.pem and client.key")
      ->envname("PYLABHUB_CERTS")
      ->type_name("DIR");
  verb->add_option("--server-name", options->probe.server_name,
                   "Name that the broker's certificate must be good for, if not the address's own")
      ->type_name("NAME");
  AddDuration(*verb, "--timeout", options->probe.timeout, "How long each step may take");
  AddOutput(*verb, options->output);
  verb->callback([options, &chosen] { chosen = [options] { return Check(*options); }; });
}

}  // namespace pylabhub::cli
