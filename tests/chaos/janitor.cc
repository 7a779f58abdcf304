#include "tests/chaos/janitor.h"

#include "shm/diagnosis.h"
#include "shm/os/crash_point.h"

namespace pylabhub::chaos {

int CleanOnce(const std::string& directory) {
  const absl::StatusOr<shm::Diagnosis> diagnosis = shm::Diagnose(directory);
  if (!diagnosis.ok()) return 8;
  for (const shm::Leftover& leftover : shm::LeftoversOf(*diagnosis)) {
    shm::RemoveLeftover(directory, leftover);
    PYLABHUB_CRASH_POINT("caller.leftover_removed");
  }
  return 0;
}

}  // namespace pylabhub::chaos
