// A record with something of everything: a bool, an enumeration, text, arrays, a struct within, and padding.
#ifndef PYLABHUB_TESTS_CLIENT_RECORDING_SAMPLE_H_
#define PYLABHUB_TESTS_CLIENT_RECORDING_SAMPLE_H_

#include <cstdint>
#include <cstring>

#include "shm/describe.h"

namespace pylabhub::testing {

enum class Mode : uint8_t { kOff, kOn };

struct Point {
  float x;
  float y;
};
PYLABHUB_SCHEMA(Point, (x, "m"), (y, "m"));

struct Sample {
  bool valid;
  Mode mode;
  char tag[5];
  double celsius;
  int16_t counts[3];
  Point at;
  uint64_t serial;
};
PYLABHUB_SCHEMA(Sample, (valid, ""), (mode, ""), (tag, ""), (celsius, "Cel"), (counts, "1"), (at, ""),
                (serial, ""));

// The sample with this number; its padding is not zero.
inline Sample SampleOf(uint64_t serial) {
  Sample sample;
  std::memset(&sample, static_cast<int>(0xA0 + serial % 16), sizeof(sample));
  sample.valid = serial % 2 == 0;
  sample.mode = serial % 3 == 0 ? Mode::kOn : Mode::kOff;
  std::memcpy(sample.tag, serial % 2 == 0 ? "even" : "odd\0", sizeof(sample.tag));
  sample.celsius = 20 + static_cast<double>(serial) / 8;
  for (int i = 0; i < 3; ++i) sample.counts[i] = static_cast<int16_t>(serial * 3 + static_cast<uint64_t>(i));
  sample.at = {.x = static_cast<float>(serial), .y = -static_cast<float>(serial)};
  sample.serial = serial;
  return sample;
}

}  // namespace pylabhub::testing

#endif  // PYLABHUB_TESTS_CLIENT_RECORDING_SAMPLE_H_
