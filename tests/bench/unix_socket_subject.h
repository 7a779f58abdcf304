// A Unix stream socket: the kernel copies.
#pragma once

#include "tests/bench/subject.h"

namespace pylabhub::bench {

Subject UnixSocketSubject();

}  // namespace pylabhub::bench
