#include "broker/handover/memory_check.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "broker/refusal.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010  // Linux 5.1
#endif

namespace pylabhub::broker {
namespace {

constexpr uint64_t kStatBlockBytes = 512;
constexpr int kSizeSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

int SealsFor(MemoryRole role) {
  return role == MemoryRole::kData ? kSizeSeals | F_SEAL_FUTURE_WRITE : kSizeSeals;
}

std::string Names(int seals) {
  std::vector<absl::string_view> names;
  if ((seals & F_SEAL_SHRINK) != 0) names.emplace_back("F_SEAL_SHRINK");
  if ((seals & F_SEAL_GROW) != 0) names.emplace_back("F_SEAL_GROW");
  if ((seals & F_SEAL_FUTURE_WRITE) != 0) names.emplace_back("F_SEAL_FUTURE_WRITE");
  if ((seals & F_SEAL_SEAL) != 0) names.emplace_back("F_SEAL_SEAL");
  return absl::StrJoin(names, ", ");
}

std::string WhatIsWrong(const Memory& memory) {
  const int descriptor = memory.descriptor.get();
  const int seals = fcntl(descriptor, F_GET_SEALS);
  if (seals < 0) return "it is no memfd";
  const int missing = SealsFor(memory.role) & ~seals;
  if (missing != 0) return absl::StrCat("it lacks the seals ", Names(missing));
  // Sealed so that even its owner cannot write to it any more: nobody could use it.
  if ((seals & F_SEAL_WRITE) != 0) return "it is sealed against writing (F_SEAL_WRITE)";
  struct stat status = {};
  if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) return "it is no memory";
  const auto bytes = static_cast<uint64_t>(status.st_size);
  if (bytes == 0) return "it is empty";
  if (bytes != memory.size_bytes) {
    return absl::StrCat("it has ", bytes, " bytes, and was said to have ", memory.size_bytes);
  }
  // A page without memory could turn out to be none when somebody first touches it, who is killed then.
  if (static_cast<uint64_t>(status.st_blocks) * kStatBlockBytes < bytes) {
    return "not all of its pages have memory (fallocate)";
  }
  return "";
}

}  // namespace

absl::Status CheckMemory(const Memory& memory, absl::string_view channel) {
  const std::string wrong = WhatIsWrong(memory);
  if (wrong.empty()) return absl::OkStatus();
  return Refuse(Reason::kDepositRefused,
                absl::StrCat("the ", NameOf(memory), " of channel \"", channel, "\" is refused: ", wrong),
                {{"channel", std::string(channel)}, {"memory", NameOf(memory)}});
}

FileId FileIdOf(int descriptor) {
  struct stat status = {};
  fstat(descriptor, &status);
  return {.device = status.st_dev, .inode = status.st_ino};
}

bool IsUnlocked(int descriptor) {
  // Opened anew: the one that came is the producer's own open(), whose locks it would not see.
  const std::string path = absl::StrCat("/proc/self/fd/", descriptor);
  const handover::Descriptor own(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!own.is_open()) return false;
  struct flock lock = {};
  lock.l_type = F_RDLCK;
  lock.l_whence = SEEK_SET;
  return fcntl(own.get(), F_OFD_GETLK, &lock) == 0 && lock.l_type == F_UNLCK;
}

std::string NameOf(const Memory& memory) {
  switch (memory.role) {
    case MemoryRole::kData:
      return "data";
    case MemoryRole::kBell:
      return "bell";
    case MemoryRole::kPart:
      return absl::StrCat("part ", memory.part);
  }
  return "memory";
}

}  // namespace pylabhub::broker
