#include "client/cli/certs.h"

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/certs_show.h"
#include "client/cli/exit_code.h"
#include "client/cli/terminal.h"
#include "proto/tls/certificate_set.h"
#include "proto/tls/identity.h"
#include "proto/tls/private_file.h"
#include "proto/tls/revocation_file.h"

namespace pylabhub::cli {
namespace {

constexpr absl::Duration kDay = absl::Hours(24);
constexpr int kDefaultDays = 730;

constexpr char kInitHelp[] = R"(
The folder must not exist yet, or be empty. Its files are readable by you alone.

Examples:
  pylabhub certs init ~/pylabhub-certs
  pylabhub certs init certs --server-name lab7.example.org --server-name 192.0.2.7
)";

constexpr char kIssueHelp[] = R"(
Signs with DIR/ca.key, and writes DIR/NAME.pem and DIR/NAME.key. A client needs them as client.pem and client.key, beside ca.pem.

Examples:
  pylabhub certs issue certs --name sampler --identity spiffe://lab.example/sampler
  pylabhub certs issue certs --name broker2 --server --server-name lab8.example.org
)";

constexpr char kRenewHelp[] = R"(
The identity stays, the key and the serial number are new. A broker that uses the file takes the new one over by itself.

Example:
  pylabhub certs renew certs --name server
)";

constexpr char kRevokeHelp[] = R"(
Writes DIR/revocations.textproto, which a broker that made its certificates itself reads within a second; another one is told
where it is with --revocations. To take a revocation back, remove its line.

Examples:
  pylabhub certs revoke certs --name sampler --reason 'laptop stolen'
  pylabhub certs revoke certs --serial 1f:3a:77
  pylabhub certs revoke certs --identity spiffe://lab.example/sampler
)";

// DIR of a set of certificates, required.
void AddFolder(CLI::App& verb, std::string& folder) {
  verb.add_option("DIR", folder, "Folder of the certificates")->required()->type_name("");
}

void AddDays(CLI::App& verb, int& days) {
  verb.add_option("--days", days, "For how long it is good")
      ->check(CLI::Range(1, 36'500))
      ->capture_default_str();
}

struct InitOptions {
  std::string folder;
  tls::CertificateSetOptions set;
};

ExitCode Init(const InitOptions& options) {
  if (absl::Status status = tls::CreateCertificateSet(options.folder, options.set); !status.ok())
    return absl::IsNotFound(status) ? Fail(kFailed, status.message()) : Fail(status);
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

// That a file of the folder is not there is no missing channel.
ExitCode FailIn(const std::string& folder, const absl::Status& status) {
  if (!absl::IsNotFound(status)) return Fail(status);
  return Fail(kFailed, absl::StrCat(status.message(), "; `pylabhub certs show ", folder,
                                    "` says what it holds, `pylabhub certs init` makes an authority"));
}

// Says what lies in DIR/NAME.pem now.
ExitCode TellLeaf(const std::string& folder, const std::string& name) {
  const auto pem = tls::ReadPublicFile(absl::StrCat(folder, "/", name, ".pem"));
  if (!pem.ok()) return FailIn(folder, pem.status());
  const auto leaf = tls::Summarize(*pem);
  if (!leaf.ok()) return Fail(leaf.status());
  std::printf("%s/%s.pem: identity %s, serial %s, good until %s\n", folder.c_str(), name.c_str(),
              leaf->identity.c_str(), leaf->serial.c_str(),
              absl::FormatTime("%Y-%m-%d", leaf->expire_time, absl::UTCTimeZone()).c_str());
  return kDone;
}

struct IssueOptions {
  std::string folder;
  std::string name;
  std::string identity;
  bool server = false;
  std::vector<std::string> server_names;
  int days = kDefaultDays;
};

ExitCode Issue(const IssueOptions& options) {
  if (options.server == !options.identity.empty()) {
    return Fail(kBadUsage, "say who it is for: --identity for a client, or --server");
  }
  tls::LeafSpec spec =
      options.server ? tls::ServerSpec(options.server_names) : tls::ClientSpec(options.identity);
  spec.validity = tls::ValidFor(options.days * kDay);
  if (absl::Status status = tls::IssueInto(options.folder, options.name, spec); !status.ok())
    return FailIn(options.folder, status);
  return TellLeaf(options.folder, options.name);
}

void AddIssue(CLI::App& certs, Action& chosen) {
  auto options = std::make_shared<IssueOptions>();
  CLI::App* verb = certs.add_subcommand("issue", "Issue one more certificate");
  verb->footer(absl::StrCat(kIssueHelp, "\n", kExitCodeHelp));
  AddFolder(*verb, options->folder);
  verb->add_option("--name", options->name, "Name of its files")->required()->type_name("NAME");
  verb->add_option("--identity", options->identity, "Who the client is: a SPIFFE URI or a plain name")
      ->type_name("IDENTITY");
  verb->add_flag("--server", options->server, "It is for a broker");
  verb->add_option(
          "--server-name", options->server_names,
          "With --server: a name or address by which clients reach it, beside localhost; may be repeated")
      ->type_name("NAME");
  AddDays(*verb, options->days);
  verb->callback([options, &chosen] { chosen = [options] { return Issue(*options); }; });
}

struct RenewOptions {
  std::string folder;
  std::string name;
  int days = kDefaultDays;
};

ExitCode Renew(const RenewOptions& options) {
  const absl::Status status = tls::RenewIn(options.folder, options.name, tls::ValidFor(options.days * kDay));
  return status.ok() ? TellLeaf(options.folder, options.name) : FailIn(options.folder, status);
}

void AddRenew(CLI::App& certs, Action& chosen) {
  auto options = std::make_shared<RenewOptions>();
  CLI::App* verb = certs.add_subcommand("renew", "Issue a certificate anew, for the same identity");
  verb->footer(absl::StrCat(kRenewHelp, "\n", kExitCodeHelp));
  AddFolder(*verb, options->folder);
  verb->add_option("--name", options->name, "Name of its files: server, client, ...")
      ->required()
      ->type_name("NAME");
  AddDays(*verb, options->days);
  verb->callback([options, &chosen] { chosen = [options] { return Renew(*options); }; });
}

struct RevokeOptions {
  std::string folder;
  std::string name;
  std::string serial;
  std::string identity;
  std::string reason;
};

ExitCode Revoke(const RevokeOptions& options) {
  if (!options.name.empty() + !options.serial.empty() + !options.identity.empty() != 1) {
    return Fail(kBadUsage, "say what to revoke: one of --name, --serial and --identity");
  }
  std::string serial = options.serial;
  if (!options.name.empty()) {
    const std::string path = absl::StrCat(options.folder, "/", options.name, ".pem");
    const auto pem = tls::ReadPublicFile(path);
    if (!pem.ok()) return FailIn(options.folder, pem.status());
    const auto certificate = tls::Summarize(*pem);
    if (!certificate.ok()) return Fail(kFailed, absl::StrCat(path, ": ", certificate.status().message()));
    serial = certificate->serial;
  }
  const std::string path = tls::RevocationsPathIn(options.folder);
  const tls::Revocation revocation = {.reason = options.reason, .time = absl::Now()};
  const auto changed = tls::ChangeRevocations(path, [&](tls::RevocationList& list) {
    return serial.empty() ? list.AddIdentity(options.identity, revocation)
                          : list.AddSerial(serial, revocation);
  });
  if (!changed.ok()) return FailIn(options.folder, changed.status());
  const std::string subject = serial.empty() ? "identity " + options.identity : "serial " + serial;
  std::printf("%s: %s %s revoked\n", path.c_str(), subject.c_str(), *changed ? "is now" : "was already");
  return kDone;
}

void AddRevoke(CLI::App& certs, Action& chosen) {
  auto options = std::make_shared<RevokeOptions>();
  CLI::App* verb = certs.add_subcommand("revoke", "Withdraw a certificate, or every one of an identity");
  verb->footer(absl::StrCat(kRevokeHelp, "\n", kExitCodeHelp));
  AddFolder(*verb, options->folder);
  verb->add_option("--name", options->name, "The certificate in DIR/NAME.pem")->type_name("NAME");
  verb->add_option("--serial", options->serial, "The certificate with this serial number")->type_name("HEX");
  verb->add_option("--identity", options->identity, "Every certificate of this identity, later ones too")
      ->type_name("IDENTITY");
  verb->add_option("--reason", options->reason, "Why, for the log and for whom it is about")
      ->type_name("TEXT");
  verb->callback([options, &chosen] { chosen = [options] { return Revoke(*options); }; });
}

}  // namespace

void AddCerts(CLI::App& app, Action& chosen) {
  CLI::App* certs = app.add_subcommand("certs", "Make, show, renew and revoke certificates");
  certs->require_subcommand(1);
  AddInit(*certs, chosen);
  AddIssue(*certs, chosen);
  AddRenew(*certs, chosen);
  AddRevoke(*certs, chosen);
  AddCertsShow(*certs, chosen);
}

}  // namespace pylabhub::cli
