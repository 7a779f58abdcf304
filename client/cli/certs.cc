#include "client/cli/certs.h"

#include <cstdio>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/cli/exit_code.h"
#include "client/cli/terminal.h"
#include "proto/tls/certificate_set.h"

namespace pylabhub::cli {
namespace {

constexpr char kInitHelp[] = R"(
The folder must not exist yet, or be empty. Its files are readable by you alone.

Examples:
  pylabhub certs init ~/pylabhub-certs
  pylabhub certs init certs --server-name lab7.example.org --server-name 192.0.2.7
)";

struct InitOptions {
  std::string folder;
  tls::CertificateSetOptions set;
};

ExitCode Init(const InitOptions& options) {
  if (absl::Status status = tls::CreateCertificateSet(options.folder, options.set); !status.ok())
    return Fail(status);
  std::printf(
      "%s now holds:\n"
      "  ca.pem                  the authority's certificate; every host needs it\n"
      "  ca.key                  the authority's key; keep it off-line\n"
      "  server.pem, server.key  for the broker\n"
      "  client.pem, client.key  for a client: copy them and ca.pem to its host\n",
      options.folder.c_str());
  return kDone;
}

void AddInit(CLI::App& certs, Action& chosen) {
  auto options = std::make_shared<InitOptions>();
  CLI::App* verb = certs.add_subcommand("init", "Make an authority, a broker's and a client's certificate");
  verb->footer(absl::StrCat(kInitHelp, "\n", kExitCodeHelp));
  verb->add_option("DIR", options->folder, "Folder to make")->required()->type_name("");
  verb->add_option("--server-name", options->set.server_names,
                   "A name or address by which clients reach the broker, beside localhost; may be repeated")
      ->type_name("NAME");
  verb->add_option("--client-identity", options->set.client_identity,
                   "Who the client is: a SPIFFE URI or a plain name")
      ->type_name("IDENTITY")
      ->capture_default_str();
  verb->callback([options, &chosen] { chosen = [options] { return Init(*options); }; });
}

}  // namespace

void AddCerts(CLI::App& app, Action& chosen) {
  CLI::App* certs = app.add_subcommand("certs", "Make certificates for a lab that has no authority");
  certs->require_subcommand(1);
  AddInit(*certs, chosen);
}

}  // namespace pylabhub::cli
