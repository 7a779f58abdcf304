// The camera of docs/tutorial.md: frames of a bright line that wanders, with a broker or without:
//
//   lab_camera
//   lab_camera --broker localhost:5570 --certs state/certs
//
// Ends on SIGTERM or Ctrl-C, and closes its channel.
#include <signal.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "client/channel.h"
#include "client/messenger.h"
#include "shm/describe.h"

constexpr int kRows = 240;
constexpr int kColumns = 320;

struct Frame {
  int64_t timestamp_ns;
  uint32_t number;
  float exposure_ms;
  uint16_t pixels[kRows * kColumns];
};
PYLABHUB_SCHEMA(Frame, (timestamp_ns, "ns"), (number, "1"), (exposure_ms, "ms"), (pixels, "1"));

namespace {

volatile sig_atomic_t interrupted = 0;

void Expose(uint32_t number, Frame& frame) {
  frame.timestamp_ns = absl::GetCurrentTimeNanos();
  frame.number = number;
  frame.exposure_ms = 5;
  std::fill(std::begin(frame.pixels), std::end(frame.pixels), uint16_t{100});
  for (int row = 0; row < kRows; ++row) frame.pixels[row * kColumns + number % kColumns] = 4095;
}

}  // namespace

// NOLINTNEXTLINE(bugprone-exception-escape): a wrong definition of a flag, which is ours, may end the program
int main(int argc, char** argv) {
  pylabhub::ConnectOptions options{.address = ""};
  std::string channel = "lab.camera";
  CLI::App app("Publishes twenty frames a second.");
  app.add_option("--channel", channel, "Where to")->capture_default_str();
  app.add_option("--broker", options.address, "The broker's host:port; none: this host only, by name")
      ->envname("PYLABHUB_BROKER");
  app.add_option("--certs", options.certificates_folder, "Folder with ca.pem, client.pem and client.key")
      ->envname("PYLABHUB_CERTS");
  CLI11_PARSE(app, argc, argv);
  for (const int signal_number : {SIGINT, SIGTERM}) signal(signal_number, [](int) { interrupted = 1; });

  std::unique_ptr<pylabhub::Messenger> messenger;
  if (!options.address.empty()) {
    auto connected = pylabhub::Messenger::Connect(options);
    if (!connected.ok()) return std::cerr << connected.status() << '\n', 1;
    messenger = *std::move(connected);
  }

  auto camera = pylabhub::Producer<Frame>::Create(channel, messenger.get());
  if (!camera.ok()) return std::cerr << camera.status() << '\n', 1;

  for (uint32_t number = 0; interrupted == 0; ++number) {
    // In the slot's own memory: a frame is written once, and copied never.
    if (auto slot = camera->Acquire(absl::Seconds(1))) {
      Expose(number, *slot);
      slot.Commit();
    }
    absl::SleepFor(absl::Milliseconds(50));
  }
}
