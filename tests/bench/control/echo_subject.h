// The yardstick: a gRPC call over mutual TLS, served as the broker serves its calls, that does nothing.
#pragma once

#include <memory>
#include <string>

#include "tests/bench/control/subject.h"

namespace pylabhub::bench {

// Starts `program --serve-echo` with the certificates in `certificates_folder`.
std::unique_ptr<DirectorySubject> MakeEchoSubject(const std::string& program,
                                                  const std::string& certificates_folder);

// What that process does, until it is killed.
int ServeEcho(const std::string& certificates_folder);

}  // namespace pylabhub::bench
