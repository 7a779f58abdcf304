// A file system of its own for one test program, small enough to be filled: what is truly full answers ENOSPC, whoever writes.
#ifndef PYLABHUB_TESTS_SUPPORT_SMALL_DISK_H_
#define PYLABHUB_TESTS_SUPPORT_SMALL_DISK_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "tests/support/temp_folder.h"

namespace pylabhub::testing {

// Thread safety: thread-compatible.
class SmallDisk {
 public:
  // Mounts a tmpfs of `bytes`, which this process and the children that it starts from now on see, and nobody else. Needs to be
  // called while the process has one thread.
  //
  // Errors: the kernel does not let this process mount; nothing has changed that matters.
  static absl::StatusOr<std::unique_ptr<SmallDisk>> Mount(size_t bytes);
  ~SmallDisk();
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  const std::string& path() const { return folder_.path(); }

  // Fills it up with a file, to the last byte.
  void Fill() const;
  // Takes the file away.
  void MakeRoom() const;

 private:
  SmallDisk() = default;

  const TempFolder folder_;
};

}  // namespace pylabhub::testing

#endif  // PYLABHUB_TESTS_SUPPORT_SMALL_DISK_H_
