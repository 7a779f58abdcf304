// A ZeroMQ directory: ROUTER and DEALER over TCP, with CURVE.
#pragma once

#include <memory>
#include <string>

#include "tests/bench/control/subject.h"

namespace pylabhub::bench {

// Starts `program --serve-zeromq` with `names` names.
std::unique_ptr<DirectorySubject> MakeZeromqSubject(const std::string& program, int names);

// What that process does, until it is killed.
int ServeZeromq(int names);

}  // namespace pylabhub::bench
