// `limit`: what the machine itself can do, with nothing in the way.
//
//   rtt.64B.spin, rtt.64B.adaptive   one cache line there and back: a process writes a word, the other
//   answers in it rtt.64B.sleep                    a futex wake there and back rtt.4KiB.spin, rtt.1MiB.spin
//   one flat buffer each way, handed over by one word stream.64B, stream.64KiB         memcpy in one process,
//   source and destination in the L2 cache stream.1MiB, stream.8MiB         memcpy in one process, source and
//   destination too large for the L2 cache
#pragma once

#include "tests/bench/subject.h"

namespace pylabhub::bench {

Subject LimitSubject();

}  // namespace pylabhub::bench
