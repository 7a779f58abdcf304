// Boost.Interprocess's message_queue: fixed slots in shared memory behind a mutex and conditions.
#pragma once

#include "tests/bench/subject.h"

namespace pylabhub::bench {

Subject MessageQueueSubject();

}  // namespace pylabhub::bench
