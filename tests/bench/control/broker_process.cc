#include "tests/bench/control/broker_process.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "proto/tls/certificate_set.h"

namespace pylabhub::bench {

BrokerProcess::BrokerProcess(Options options) : options_(std::move(options)) { Start(); }

void BrokerProcess::Start() {
  const tls::TlsPaths tls = tls::ServerPathsIn(options_.certificates_folder);
  const std::string port = target_.empty() ? "0" : target_.substr(target_.rfind(':') + 1);
  std::vector<std::string> command = {options_.program,
                                      absl::StrCat("--port=", port),
                                      absl::StrCat("--lease-ttl=", options_.lease_ttl),
                                      absl::StrCat("--log-level=", options_.log_level),
                                      absl::StrCat("--state-dir=", options_.state_folder),
                                      absl::StrCat("--server-cert=", tls.certificate),
                                      absl::StrCat("--server-key=", tls.key),
                                      absl::StrCat("--ca=", tls.ca_certificate)};
  if (!options_.limits.empty()) {
    std::filesystem::create_directories(options_.state_folder);
    const std::string file = options_.state_folder + "/bench.textproto";
    std::ofstream(file) << "limits { " << options_.limits << " }\n";
    command.push_back(absl::StrCat("--config=", file));
  }
  server_ = std::make_unique<ServerProcess>(command);
  const std::string line = server_->ReadLine();
  absl::string_view target = line;
  if (!absl::ConsumePrefix(&target, "listening on ")) {
    std::cerr << "error: pylabhub-broker did not start:\n" << server_->errors() << std::endl;
    std::exit(2);
  }
  target_ = std::string(target);
}

}  // namespace pylabhub::bench
