// Publishes a (simulated) temperature ten times a second, with a broker or without:
//
//   temperature_producer
//   temperature_producer --broker localhost:5570 --certs ~/.pylabhub/certs
#include <CLI/CLI.hpp>
#include <cmath>
#include <iostream>

#include "absl/time/clock.h"
#include "client/channel.h"
#include "client/examples/temp_reading.h"

// NOLINTNEXTLINE(bugprone-exception-escape): a wrong definition of a flag, which is ours, may end the program
int main(int argc, char** argv) {
  pylabhub::ConnectOptions options{.address = ""};
  int readings = 100;
  CLI::App app("Publishes a temperature on the channel sensor.temperature.");
  app.add_option("--broker", options.address, "The broker's host:port; none: this host only, by name");
  app.add_option("--certs", options.certificates_folder, "Folder with ca.pem, client.pem and client.key");
  app.add_option("--readings", readings, "How many to publish")->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  std::unique_ptr<pylabhub::Messenger> messenger;
  if (!options.address.empty()) {
    auto connected = pylabhub::Messenger::Connect(options);
    if (!connected.ok()) return std::cerr << connected.status() << '\n', 1;
    messenger = *std::move(connected);
  }

  auto producer = pylabhub::Producer<TempReading>::Create("sensor.temperature", messenger.get());
  if (!producer.ok()) return std::cerr << producer.status() << '\n', 1;

  for (int i = 0; i < readings; ++i) {
    producer->Write({.celsius = 21 + std::sin(i / 10.0), .timestamp_ns = absl::GetCurrentTimeNanos()});
    absl::SleepFor(absl::Milliseconds(100));
  }
}
