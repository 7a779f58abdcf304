// Memory that processes share, with the descriptor that its locks are taken through. The same for a file in a
// tmpfs and for a memfd that was handed over: everything above works on a Mapping.
//
// From 2 MiB on, memory is mapped where the kernel can use huge pages, and the kernel is asked for them when it is
// reserved: fewer misses of the address cache, and a fraction of the time that thousands of small pages take to be made
// and mapped. Where it has none, or refuses, small pages do the same.
//
// Thread safety: thread-compatible.
// Ownership:     owns mapping and descriptor. Not inherited by a forked child, and left out of core dumps.
#ifndef PYLABHUB_SHM_OS_MAPPING_H_
#define PYLABHUB_SHM_OS_MAPPING_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "shm/os/fork_guard.h"

namespace pylabhub::shm {

enum class Access { kReadOnly, kReadWrite };

inline constexpr size_t kHugePageBytes = size_t{2} << 20;

class Mapping {
 public:
  Mapping() = default;
  // Maps the whole of `fd` as it is now. kFailedPrecondition if it is empty.
  static absl::StatusOr<Mapping> Of(UniqueFd fd, Access access);
  // Sizes `fd` to `bytes`, reserves every page (so that a full tmpfs is an error here and not a SIGBUS
  // later), maps it for writing and touches it. kResourceExhausted if there is not enough memory, with what is free.
  static absl::StatusOr<Mapping> Reserve(UniqueFd fd, size_t bytes);

  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping();

  bool valid() const { return !bytes_.empty(); }
  // Writable only if mapped with kReadWrite and not made read-only since.
  std::span<std::byte> bytes() const { return bytes_; }
  std::byte* base() const { return bytes_.data(); }
  int fd() const { return fd_.get(); }

  // From now on a write through this mapping ends the process: what is not to be written any more cannot be
  // by mistake.
  absl::Status MakeReadOnly();
  // Brings every page into this process's tables, so that no first access pays for it.
  void Populate() const;

 private:
  Mapping(UniqueFd fd, std::span<std::byte> bytes);
  static absl::StatusOr<Mapping> Map(UniqueFd fd, size_t bytes, Access access);
  void Unmap();

  UniqueFd fd_;
  std::span<std::byte> bytes_;
  uint64_t generation_ = 0;
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_OS_MAPPING_H_
