#include "tests/support/small_disk.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <memory>

#include "absl/strings/str_cat.h"

namespace pylabhub::testing {
namespace {

constexpr char kBallast[] = "/ballast";

absl::Status Refused(const std::string& what) {
  return absl::ErrnoToStatus(errno, absl::StrCat("this process may not ", what));
}

// Without a mapping of its own a user in a new namespace is nobody, and its files are too.
absl::Status KeepUser(uid_t uid, gid_t gid) {
  std::ofstream("/proc/self/setgroups") << "deny";
  std::ofstream groups("/proc/self/gid_map");
  std::ofstream users("/proc/self/uid_map");
  groups << gid << " " << gid << " 1" << std::flush;
  users << uid << " " << uid << " 1" << std::flush;
  return groups && users ? absl::OkStatus() : Refused("keep its user in a namespace");
}

absl::Status HaveOwnMounts() {
  const uid_t uid = getuid();
  const gid_t gid = getgid();
  if (unshare(CLONE_NEWNS) != 0) {
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return Refused("have mounts of its own");
    if (absl::Status status = KeepUser(uid, gid); !status.ok()) return status;
  }
  // Without this the mount below would be seen outside.
  return mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 ? absl::OkStatus()
                                                                        : Refused("make its mounts private");
}

}  // namespace

absl::StatusOr<std::unique_ptr<SmallDisk>> SmallDisk::Mount(size_t bytes) {
  if (absl::Status status = HaveOwnMounts(); !status.ok()) return status;
  std::unique_ptr<SmallDisk> disk(new SmallDisk());
  if (mount("tmpfs", disk->path().c_str(), "tmpfs", MS_NOSUID | MS_NODEV,
            absl::StrCat("mode=0700,size=", bytes).c_str()) != 0)
    return Refused("mount a file system");
  return disk;
}

SmallDisk::~SmallDisk() { umount2(path().c_str(), MNT_DETACH); }

void SmallDisk::Fill() const {
  const int descriptor = open((path() + kBallast).c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
  ASSERT_GE(descriptor, 0);
  const std::array<char, 4096> zeros = {};
  while (write(descriptor, zeros.data(), zeros.size()) > 0) {
  }
  EXPECT_EQ(errno, ENOSPC);
  close(descriptor);
}

void SmallDisk::MakeRoom() const { EXPECT_EQ(unlink((path() + kBallast).c_str()), 0); }

}  // namespace pylabhub::testing
