// Prints each temperature that is published, until the producer is gone; with a broker or without:
//
//   temperature_consumer
//   temperature_consumer --broker localhost:5570 --certs ~/.pylabhub/certs
#include <CLI/CLI.hpp>
#include <iostream>

#include "client/channel.h"
#include "client/examples/temp_reading.h"

// NOLINTNEXTLINE(bugprone-exception-escape): a wrong definition of a flag, which is ours, may end the program
int main(int argc, char** argv) {
  pylabhub::ConnectOptions options{.address = ""};
  CLI::App app("Prints the temperatures of the channel sensor.temperature.");
  app.add_option("--broker", options.address, "The broker's host:port; none: this host only, by name");
  app.add_option("--certs", options.certificates_folder, "Folder with ca.pem, client.pem and client.key");
  CLI11_PARSE(app, argc, argv);

  std::unique_ptr<pylabhub::Messenger> messenger;
  if (!options.address.empty()) {
    auto connected = pylabhub::Messenger::Connect(options);
    if (!connected.ok()) return std::cerr << connected.status() << '\n', 1;
    messenger = *std::move(connected);
  }

  auto consumer =
      pylabhub::Consumer<TempReading>::Connect("sensor.temperature", absl::Seconds(30), messenger.get());
  if (!consumer.ok()) return std::cerr << consumer.status() << '\n', 1;

  while (auto reading = consumer->Read()) {
    std::cout << absl::FromUnixNanos(reading->timestamp_ns) << "  " << reading->celsius << " Cel\n";
  }
  std::cout << NameOf(consumer->last_result()) << '\n';
}
