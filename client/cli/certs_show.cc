#include "client/cli/certs_show.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "client/cli/exit_code.h"
#include "client/cli/terminal.h"
#include "proto/tls/certificate_set.h"
#include "proto/tls/identity.h"
#include "proto/tls/issue.h"
#include "proto/tls/private_file.h"
#include "proto/tls/revocation_list.h"

namespace pylabhub::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr char kHelp[] = R"(
PATH is a certificate (PEM), or a folder of them; with the key beside it (NAME.key), that is looked at too.

Examples:
  pylabhub certs show ~/pylabhub-certs
  pylabhub certs show certs/server.pem --output json | jq -r .expire_time
)";

struct ShowOptions {
  std::string path;
  Output output = Output::kText;
};

// A file's certificates, its key, and what is wrong.
struct Shown {
  std::string path;
  std::vector<tls::CertificateSummary> chain = {};
  std::string key_mode = {};  // "0600"; empty: no key beside it
  std::vector<std::string> faults = {};
};

std::string Date(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone());
}

void LookAtKey(const std::string& certificate_pem, Shown& shown) {
  const std::string path = absl::StrCat(absl::StripSuffix(shown.path, ".pem"), ".key");
  struct stat found = {};
  if (stat(path.c_str(), &found) != 0) return;
  shown.key_mode = absl::StrFormat("%04o", found.st_mode & 07777);
  const auto key = tls::ReadPrivateFile(path);
  if (!key.ok()) return shown.faults.emplace_back(key.status().message()), void();
  const absl::Status belongs = tls::CheckKeyBelongs(certificate_pem, *key);
  if (!belongs.ok()) shown.faults.push_back(absl::StrCat(path, ": ", belongs.message()));
}

Shown LookAt(const std::string& path, const tls::RevocationList& revocations) {
  Shown shown = {.path = path};
  const auto pem = tls::ReadPublicFile(path);
  if (!pem.ok()) {
    shown.faults.emplace_back(pem.status().message());
    return shown;
  }
  auto chain = tls::SummarizeAll(*pem);
  if (!chain.ok()) {
    shown.faults.push_back(absl::StrCat(path, ": ", chain.status().message()));
    return shown;
  }
  shown.chain = *std::move(chain);
  const tls::CertificateSummary& leaf = shown.chain.front();
  const absl::Time now = absl::Now();
  if (now < leaf.not_before)
    shown.faults.push_back(absl::StrCat("is not valid before ", Date(leaf.not_before)));
  if (now >= leaf.expire_time) shown.faults.push_back(absl::StrCat("expired at ", Date(leaf.expire_time)));
  if (const tls::Revocation* found = revocations.Find(leaf.serial, leaf.identity)) {
    shown.faults.push_back(found->reason.empty() ? "is revoked"
                                                 : absl::StrCat("is revoked (", found->reason, ")"));
  }
  LookAtKey(*pem, shown);
  return shown;
}

std::string UseOf(const tls::CertificateSummary& certificate) {
  if (certificate.is_authority) return "authority";
  if (certificate.may_serve && certificate.may_call) return "server and client";
  if (certificate.may_serve) return "server";
  return certificate.may_call ? "client" : "none of TLS";
}

void Print(const Shown& shown) {
  absl::PrintF("%s\n", shown.path);
  const auto line = [](const char* name, const std::string& value) {
    absl::PrintF("  %-12s %s\n", name, value);
  };
  if (!shown.chain.empty()) {
    const tls::CertificateSummary& leaf = shown.chain.front();
    line("subject", leaf.subject);
    line("issuer", leaf.issuer);
    line("identity", leaf.identity);
    line("names", leaf.alternative_names.empty() ? "-" : absl::StrJoin(leaf.alternative_names, ", "));
    line("serial", leaf.serial);
    line("use", UseOf(leaf));
    line("valid", absl::StrCat(Date(leaf.not_before), " to ", Date(leaf.expire_time), " (",
                               absl::ToInt64Hours(leaf.expire_time - absl::Now()) / 24, " days left)"));
    line("key", shown.key_mode.empty() ? "not here" : absl::StrCat("mode ", shown.key_mode));
  }
  for (size_t i = 1; i < shown.chain.size(); ++i) line("then", shown.chain[i].subject);
  for (const std::string& fault : shown.faults) line("FAULT", Paint(1, Colour::kRed, fault));
}

ordered_json ToJson(const Shown& shown) {
  ordered_json object = {{"path", shown.path}};
  if (!shown.chain.empty()) {
    const tls::CertificateSummary& leaf = shown.chain.front();
    object.update({{"subject", leaf.subject},
                   {"issuer", leaf.issuer},
                   {"identity", leaf.identity},
                   {"alternative_names", leaf.alternative_names},
                   {"serial", leaf.serial},
                   {"use", UseOf(leaf)},
                   {"not_before", Date(leaf.not_before)},
                   {"expire_time", Date(leaf.expire_time)},
                   {"key_mode", shown.key_mode}});
  }
  std::vector<std::string> chain;
  for (size_t i = 1; i < shown.chain.size(); ++i) chain.push_back(shown.chain[i].subject);
  object["chain"] = chain;
  object["faults"] = shown.faults;
  return object;
}

ExitCode Show(const ShowOptions& options) {
  std::error_code error;
  const bool is_folder = fs::is_directory(options.path, error);
  const std::string folder = is_folder ? options.path : fs::path(options.path).parent_path().string();
  std::vector<std::string> paths;
  if (is_folder) {
    for (const auto& entry : fs::directory_iterator(options.path, error)) {
      if (entry.path().extension() == ".pem") paths.push_back(entry.path());
    }
    std::sort(paths.begin(), paths.end());
    if (error) return Fail(kFailed, absl::StrCat(options.path, ": ", error.message()));
    if (paths.empty()) return Fail(kFailed, absl::StrCat(options.path, " holds no certificate (*.pem)"));
  } else {
    paths = {options.path};
  }

  tls::RevocationList revocations;
  const std::string revocations_path = tls::RevocationsPathIn(folder.empty() ? "." : folder);
  if (const auto text = tls::ReadPublicFile(revocations_path); text.ok()) {
    auto list = tls::RevocationList::Parse(*text, revocations_path);
    if (!list.ok()) return Fail(list.status());
    revocations = *std::move(list);
  }
  bool good = true;
  for (const std::string& path : paths) {
    const Shown shown = LookAt(path, revocations);
    good = good && shown.faults.empty();
    if (options.output == Output::kJson) {
      absl::PrintF("%s\n", ToJson(shown).dump(-1, ' ', false, ordered_json::error_handler_t::replace));
    } else {
      Print(shown);
    }
  }
  return good ? kDone : kFailed;
}

}  // namespace

void AddCertsShow(CLI::App& certs, Action& chosen) {
  auto options = std::make_shared<ShowOptions>();
  CLI::App* verb = certs.add_subcommand("show", "Show what certificates say; exit code 1 if one is no good");
  verb->footer(absl::StrCat(kHelp, "\n", kExitCodeHelp));
  verb->add_option("PATH", options->path, "Certificate, or folder of certificates")
      ->required()
      ->type_name("");
  AddOutput(*verb, options->output);
  verb->callback([options, &chosen] { chosen = [options] { return Show(*options); }; });
}

}  // namespace pylabhub::cli
