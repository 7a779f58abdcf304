// Looks at a broker's address step by step, with OpenSSL itself, so that each thing that can be wrong has its own words:
// the client's files, the socket, TLS, the broker's certificate, HTTP/2, what the broker says of the client's certificate, and
// a call. The first fault ends it.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "client/cli/exit_code.h"

namespace pylabhub::cli {

struct TlsProbeOptions {
  // "host:port", "[::1]:port" or "unix:/path"; without a port 5570.
  std::string address = {};
  // With ca.pem, client.pem and client.key; empty: only what can be seen without.
  std::string certificates_folder = {};
  // That the broker's certificate must be good for, where it is not the host of `address`.
  std::string server_name = {};
  absl::Duration timeout = absl::Seconds(5);  // of each step
};

// What a step found.
struct TlsFinding {
  std::string
      step;  // "own files", "connect", "tls", "server certificate", "http2", "client certificate", "call"
  std::string fault;    // one word for programs: "wrong_ca"; empty: all is well
  std::string message;  // what was seen
  std::string mend;     // what to do; empty without a fault
  ExitCode exit_code = kDone;
};

// In the order of the steps; the last one may have a fault, no other has.
std::vector<TlsFinding> ProbeTls(const TlsProbeOptions& options);

}  // namespace pylabhub::cli
