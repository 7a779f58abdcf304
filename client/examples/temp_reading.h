// What the channel "sensor.temperature" carries.
#ifndef PYLABHUB_CLIENT_EXAMPLES_TEMP_READING_H_
#define PYLABHUB_CLIENT_EXAMPLES_TEMP_READING_H_

#include <cstdint>

#include "shm/describe.h"

struct TempReading {
  double celsius;
  int64_t timestamp_ns;
};
PYLABHUB_SCHEMA(TempReading, (celsius, "Cel"), (timestamp_ns, "ns"));

#endif  // PYLABHUB_CLIENT_EXAMPLES_TEMP_READING_H_
