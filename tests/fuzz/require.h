// What a fuzzer ends with when something that must hold does not.
#ifndef PYLABHUB_TESTS_FUZZ_REQUIRE_H_
#define PYLABHUB_TESTS_FUZZ_REQUIRE_H_

#include <cstdio>
#include <cstdlib>

namespace pylabhub::fuzz {

inline void Require(bool holds, const char* rule) {
  if (holds) [[likely]]
    return;
  std::fprintf(stderr, "broken: %s\n", rule);
  std::abort();
}

}  // namespace pylabhub::fuzz

#endif  // PYLABHUB_TESTS_FUZZ_REQUIRE_H_
