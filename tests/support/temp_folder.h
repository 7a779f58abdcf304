// A folder for one test, removed with everything in it when the test ends.
#ifndef PYLABHUB_TESTS_SUPPORT_TEMP_FOLDER_H_
#define PYLABHUB_TESTS_SUPPORT_TEMP_FOLDER_H_

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

#include "gtest/gtest.h"

namespace pylabhub::testing {

class TempFolder {
 public:
  // Of `above`: "/tmp" where the path must be short, as that of a Unix socket.
  explicit TempFolder(const std::string& above = ::testing::TempDir()) : path_(above + "/pylabhub.XXXXXX") {
    if (mkdtemp(path_.data()) == nullptr) std::abort();
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace pylabhub::testing

#endif  // PYLABHUB_TESTS_SUPPORT_TEMP_FOLDER_H_
