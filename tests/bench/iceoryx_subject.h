// `iceoryx`: the peer, version 2.0.3 as Debian packages it.
//
// Lossless (a full queue makes the publisher wait); the reader polls for spinning benches and waits on a
// WaitSet for sleeping ones. Each trial has a RouDi daemon of its own, whose pool holds what the bench needs
// and whose monitoring is on only where somebody dies.
#pragma once

#include "tests/bench/subject.h"

namespace pylabhub::bench {

Subject IceoryxSubject();

}  // namespace pylabhub::bench
