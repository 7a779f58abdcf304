// The seed of a random test: new every run, printed, and given again with PYLABHUB_TEST_SEED to repeat one.
#ifndef PYLABHUB_TESTS_SUPPORT_SEED_H_
#define PYLABHUB_TESTS_SUPPORT_SEED_H_

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>

namespace pylabhub::testing {

inline uint64_t Seed() {
  static const uint64_t seed = [] {
    const char* given = std::getenv("PYLABHUB_TEST_SEED");
    std::random_device random;
    const uint64_t chosen =
        given != nullptr ? std::strtoull(given, nullptr, 10) : uint64_t{random()} << 32 | random();
    std::printf("PYLABHUB_TEST_SEED=%llu\n", static_cast<unsigned long long>(chosen));
    return chosen;
  }();
  return seed;
}

}  // namespace pylabhub::testing

#endif  // PYLABHUB_TESTS_SUPPORT_SEED_H_
