// Names that nobody else has: 128 random bits as 32 hexadecimal digits.
#ifndef PYLABHUB_BROKER_RANDOM_ID_H_
#define PYLABHUB_BROKER_RANDOM_ID_H_

#include <random>
#include <string>

#include "absl/strings/str_format.h"

namespace pylabhub::broker {

inline std::string RandomId() {
  std::random_device random;
  std::string id;
  for (int i = 0; i < 4; ++i) absl::StrAppendFormat(&id, "%08x", random());
  return id;
}

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_RANDOM_ID_H_
