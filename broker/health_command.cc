#include "broker/health_command.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <iostream>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "broker/flags.h"
#include "proto/grpc/health/v1/health.grpc.pb.h"
#include "proto/tls/certificate_set.h"

namespace pylabhub::broker {
namespace {

using grpc::health::v1::HealthCheckResponse;

absl::Status AskHealth(const std::string& address, const std::string& certificates_folder,
                       std::chrono::milliseconds timeout) {
  const absl::StatusOr<tls::TlsFiles> files = tls::LoadTlsFiles(tls::ClientPathsIn(certificates_folder));
  if (!files.ok()) return files.status();
  const auto channel = grpc::CreateChannel(
      address, grpc::SslCredentials({files->ca_certificate_pem, files->key_pem, files->certificate_pem}));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + timeout);
  context.set_wait_for_ready(false);
  HealthCheckResponse answer;
  const grpc::Status status = grpc::health::v1::Health::NewStub(channel)->Check(&context, {}, &answer);
  if (!status.ok()) return absl::UnavailableError(absl::StrCat(address, ": ", status.error_message()));
  if (answer.status() != HealthCheckResponse::SERVING) {
    return absl::UnavailableError(
        absl::StrCat(address, " says ", HealthCheckResponse::ServingStatus_Name(answer.status())));
  }
  return absl::OkStatus();
}

}  // namespace

std::optional<int> RunHealthCommand(int argc, char** argv) {
  if (argc < 2 || absl::string_view(argv[1]) != "health") return std::nullopt;
  std::string address = "localhost:5570";
  std::string certificates_folder = DefaultStateDir() + "/certs";
  double timeout_seconds = 3;
  CLI::App app("Asks a broker whether it serves.", "pylabhub-broker");
  app.require_subcommand(1);
  auto* health = app.add_subcommand("health", "Exit code 0 if the broker at ADDRESS serves, else 1");
  health->add_option("ADDRESS", address, "Host and port, or unix:FILE")->capture_default_str();
  health->add_option("--certs", certificates_folder, "Folder with ca.pem, client.pem and client.key")
      ->type_name("DIR")
      ->capture_default_str();
  health->add_option("--timeout", timeout_seconds, "How long to wait for an answer, in seconds")
      ->type_name("S")
      ->check(CLI::Range(0.01, 3600.0))
      ->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const auto timeout =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::duration<double>(timeout_seconds));
  if (const absl::Status status = AskHealth(address, certificates_folder, timeout); !status.ok()) {
    std::cerr << "error: " << status.message() << std::endl;
    return 1;
  }
  std::cout << "serving" << std::endl;
  return 0;
}

}  // namespace pylabhub::broker
