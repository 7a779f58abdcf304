// Randomness of which every bit comes from one seed: whoever needs some of its own gets it by name.
//
// Thread safety: thread-compatible.
#ifndef PYLABHUB_TESTS_CHAOS_DICE_H_
#define PYLABHUB_TESTS_CHAOS_DICE_H_

#include <cstdint>
#include <initializer_list>

namespace pylabhub::chaos {

// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014).
class Dice {
 public:
  // The dice of the one whom `name` names, in the run of `seed`.
  Dice(uint64_t seed, std::initializer_list<uint64_t> name) : state_(seed) {
    for (uint64_t part : name) state_ = Next() ^ (part * 0xD1342543DE82EF95);
  }

  uint64_t Next() {
    uint64_t z = (state_ += 0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
  }
  // 0 to `count` - 1.
  uint64_t Below(uint64_t count) { return Next() % count; }
  uint64_t Between(uint64_t least, uint64_t most) { return least + Below(most - least + 1); }
  bool OneIn(uint64_t count) { return Below(count) == 0; }

 private:
  uint64_t state_;
};

}  // namespace pylabhub::chaos

#endif  // PYLABHUB_TESTS_CHAOS_DICE_H_
