// What /proc/self/smaps says of this process's mappings.
#ifndef PYLABHUB_TESTS_SUPPORT_SMAPS_H_
#define PYLABHUB_TESTS_SUPPORT_SMAPS_H_

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>

namespace pylabhub::testing {

struct PageCount {
  int mappings = 0;
  uint64_t mapped_bytes = 0;
  uint64_t resident_bytes = 0;  // of those, in pages that are there
  uint64_t huge_bytes = 0;      // of those, in huge pages
};

// Of all mappings whose first line, "START-END PERMISSIONS ... PATH", is `wanted`.
template <typename Wanted>
PageCount CountPages(Wanted wanted) {
  std::ifstream smaps("/proc/self/smaps");
  PageCount count;
  bool inside = false;
  for (std::string line; std::getline(smaps, line);) {
    if (line.find('-') < line.find(' ')) {
      inside = wanted(line);
      count.mappings += inside ? 1 : 0;
      continue;
    }
    const size_t colon = line.find(':');
    if (!inside || colon == std::string::npos) continue;
    const std::string name = line.substr(0, colon);
    const uint64_t bytes = std::strtoull(line.c_str() + colon + 1, nullptr, 10) << 10;
    if (name == "Size") count.mapped_bytes += bytes;
    if (name == "Rss") count.resident_bytes += bytes;
    if (name == "ShmemPmdMapped") count.huge_bytes += bytes;
  }
  return count;
}

}  // namespace pylabhub::testing

#endif  // PYLABHUB_TESTS_SUPPORT_SMAPS_H_
