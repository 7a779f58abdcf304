// How a Messenger is made.
#ifndef PYLABHUB_CLIENT_CONNECT_OPTIONS_H_
#define PYLABHUB_CLIENT_CONNECT_OPTIONS_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "client/messenger_event.h"

namespace pylabhub {

// Which channels a Messenger follows by its Watch stream: it answers for them from memory, and tells at once when they close.
// Each costs about 1.7 KiB of memory, and a message for each change.
struct WatchScope {
  // Those that were asked for (the last 1,000 names) and those that are consumed. Where these are more than 100, by the
  // beginnings that they share. A process that neither asks nor consumes watches nothing.
  bool names = true;
  // Besides, those whose names match one of these, at most 50; `*` stands for any run of characters, `?` for one.
  std::vector<std::string> patterns = {};

  static WatchScope Nothing() { return {.names = false}; }
  static WatchScope Everything() { return {.patterns = {"*"}}; }
};

struct MessengerOptions {
  // Told what happens to the channels and to the broker; see messenger_event.h. On a thread of its own, one
  // call at a time.
  MessengerEventHook on_event = nullptr;
  LogHook log = nullptr;
  WatchScope watch = {};
  // Memory that is handed over is for those alone whom the broker lets have it. Other processes of the same user could take it
  // from this one through /proc, and read its memory, so the first time that it is used the process is made undumpable
  // (PR_SET_DUMPABLE 0): no core dumps, no debugger of the same user. True leaves the process as it is, and whoever runs as the
  // same user gets at its channels.
  bool keep_dumpable = false;
  // How long a registration, or giving one up, may take, with what is tried again.
  absl::Duration call_timeout = absl::Seconds(5);
  // How long the destructor may take to give everything up.
  absl::Duration close_timeout = absl::Seconds(2);
};

struct ConnectOptions {
  // "host:port", "[::1]:port", or "unix:/path".
  std::string address = "localhost:5570";
  // The folder with ca.pem, client.pem and client.key (proto/tls/certificate_set.h says more). The three
  // paths below, where set, stand instead of its files.
  std::string certificates_folder = {};
  std::string ca_certificate_path = {};
  std::string certificate_path = {};
  std::string key_path = {};
  // The name that the broker's certificate must be good for, where it is not the host of `address`: behind a
  // tunnel, or on a Unix socket (whose default is "localhost").
  std::string server_name = {};
  absl::Duration connect_timeout = absl::Seconds(5);
  MessengerOptions messenger = {};
};

}  // namespace pylabhub

#endif  // PYLABHUB_CLIENT_CONNECT_OPTIONS_H_
