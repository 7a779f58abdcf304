#include "tests/support/shm_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

namespace pylabhub::testing {

ShmFolder::ShmFolder() {
  std::string name = "/dev/shm/pylabhub-test-XXXXXX";
  if (mkdtemp(name.data()) == nullptr) std::abort();
  path_ = name;
}

ShmFolder::~ShmFolder() {
  if (!allow_leftovers_) {
    EXPECT_THAT(Files(), ::testing::IsEmpty()) << "left in " << path_;
  }
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::vector<std::string> ShmFolder::Files() const {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(path_))
    names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace pylabhub::testing
