// What pylabhub-broker is told, by its command line and its configuration file; the defaults are here.
#ifndef PYLABHUB_BROKER_SETTINGS_H_
#define PYLABHUB_BROKER_SETTINGS_H_

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "broker/connection_ledger.h"
#include "broker/limits.h"
#include "broker/log.h"

namespace pylabhub::broker {

struct Settings {
  std::string address = "127.0.0.1";
  int port = 5570;
  std::string port_file = {};
  std::string unix_socket = {};
  mode_t unix_socket_mode = 0660;
  std::string state_dir = {};
  std::string store = "sqlite";  // or "none"
  std::string server_cert = {};
  std::string server_key = {};
  std::string ca = {};
  std::string revocations = {};
  std::string crl = {};
  bool sandbox = true;
  std::vector<std::string> server_names = {};
  std::vector<std::string> admins = {};
  std::string policy = {};
  absl::Duration lease_ttl = absl::Seconds(10);
  absl::Duration shutdown_grace = absl::Seconds(5);
  int max_threads = 256;
  Limits limits = {};
  ConnectionCaps connection_caps = {};
  // Empty: hand_over.sock in state_dir; "none": memory is not handed over.
  std::string hand_over_socket = {};
  mode_t hand_over_mode = 0660;
  std::vector<uid_t> hand_over_uids = {};
  uint64_t hand_over_descriptors = 16'384;
  uint64_t hand_over_descriptors_per_identity = 16'384;
  std::string metrics_address = {};
  bool metrics_allow_remote = false;
  bool channelz = false;
  LogLevel log_level = LogLevel::kInfo;
  LogFormat log_format = LogFormat::kLogfmt;
};

// The words that stand for a value, in the order in which people are told of them.
template <typename Value>
using Words = std::vector<std::pair<std::string, Value>>;
const Words<LogLevel>& LogLevelWords();
const Words<LogFormat>& LogFormatWords();

// Reads "0660", octal digits up to 0777; false if it is none.
bool ParseMode(const std::string& text, mode_t& mode);

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_SETTINGS_H_
