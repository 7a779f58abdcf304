// A folder in /dev/shm of a test's own: channels in it meet no others, and it is gone with the test, which
// fails if something was left in it.
#ifndef PYLABHUB_TESTS_SUPPORT_SHM_FOLDER_H_
#define PYLABHUB_TESTS_SUPPORT_SHM_FOLDER_H_

#include <string>
#include <vector>

namespace pylabhub::testing {

class ShmFolder {
 public:
  ShmFolder();
  ~ShmFolder();
  ShmFolder(const ShmFolder&) = delete;
  ShmFolder& operator=(const ShmFolder&) = delete;

  const std::string& path() const { return path_; }
  // The names of the files in it.
  std::vector<std::string> Files() const;
  // For a test that kills its last participant, so that nobody cleans up: leftovers are no failure.
  void AllowLeftovers() { allow_leftovers_ = true; }

 private:
  std::string path_;
  bool allow_leftovers_ = false;
};

}  // namespace pylabhub::testing

#endif  // PYLABHUB_TESTS_SUPPORT_SHM_FOLDER_H_
