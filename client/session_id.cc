#include "client/session_id.h"

#include <sys/random.h>

#include <array>
#include <cstdlib>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"

namespace pylabhub {

std::string RandomSessionId() {
  std::array<char, 16> bytes;
  // Never short and never interrupted for so few bytes; without it no id would be safe.
  if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) std::abort();
  return absl::BytesToHexString(absl::string_view(bytes.data(), bytes.size()));
}

}  // namespace pylabhub
