// ZeroMQ over its ipc transport: Unix sockets behind queues and threads of its own.
#pragma once

#include "tests/bench/subject.h"

namespace pylabhub::bench {

Subject ZeromqSubject();

}  // namespace pylabhub::bench
