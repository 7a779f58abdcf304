// What every bench of the control suite is told in each round.
#pragma once

namespace pylabhub::bench {

struct RoundSettings {
  double seconds = 0.3;  // how long one subject is measured in one round
  int names = 10'000;    // that every subject holds
  int round = 0;
};

}  // namespace pylabhub::bench
