// A clock cheap enough to be read on every round trip: the time-stamp counter, calibrated once.
#pragma once

#include <x86intrin.h>

#include <cstdint>

namespace pylabhub::bench {

// Ticks of the time-stamp counter, which runs at one constant rate and is the same on every core.
//
// Not serialising: it may be taken a few instructions early or late. Costs about 10 ns here, much of it
// hidden behind the wait for the peer's cache line.
inline uint64_t NowTicks() { return __rdtsc(); }

// The length of a tick. The first call measures it against CLOCK_MONOTONIC_RAW, which takes about 50 ms; call
// it once before forking, so that every child inherits the same figure.
double NsPerTick();

// `seconds` in ticks, rounded down.
uint64_t TicksOf(double seconds);

}  // namespace pylabhub::bench
