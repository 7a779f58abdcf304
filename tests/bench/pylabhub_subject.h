// `pylabhub`: a channel as an application gets it.
//
// The defaults (Sync_reader, 64 places for consumers, time stamps, counters, no checksums) but for the
// bench's capacity and slot size. Spinning benches never sleep, sleeping ones never spin, adaptive ones wait
// as handles do by default.
#pragma once

#include "tests/bench/subject.h"

namespace pylabhub::bench {

Subject PylabhubSubject();

}  // namespace pylabhub::bench
