// What a descriptor that somebody deposited really is. Nothing is mapped or read: what is in the memory is for those who
// attach to it.
//
// Thread safety: free functions with no shared state.
#ifndef PYLABHUB_BROKER_HANDOVER_MEMORY_CHECK_H_
#define PYLABHUB_BROKER_HANDOVER_MEMORY_CHECK_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "broker/handover/memory.h"

namespace pylabhub::broker {

// OK if `memory.descriptor` is a memfd, sealed as its kind must be, of exactly the size stated, with memory for every page.
//
// Errors:
//   DEPOSIT_REFUSED  with the memory's name and what is wrong; `channel` goes into the metadata
absl::Status CheckMemory(const Memory& memory, absl::string_view channel);

// Which file it is: two descriptors of one memory have the same.
struct FileId {
  uint64_t device = 0;
  uint64_t inode = 0;

  auto operator<=>(const FileId&) const = default;
};
FileId FileIdOf(int descriptor);

// Whether nobody holds a lock on the memory that keeps others from reading it: as a producer does on its data, for as long as it
// lives. False if it cannot be found out.
bool IsUnlocked(int descriptor);

// "data", "bell", "part 7".
std::string NameOf(const Memory& memory);

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_HANDOVER_MEMORY_CHECK_H_
