#include "client/process_info.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <fstream>

namespace pylabhub {
namespace {

constexpr size_t kMaxTextBytes = 255;

std::string HostName() {
  std::array<char, 256> name = {};
  if (gethostname(name.data(), name.size() - 1) != 0) return "";
  return name.data();
}

std::string FirstLineOf(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

}  // namespace

ProcessInfo ThisProcess() {
  struct stat shm = {};
  const bool has_shm = stat("/dev/shm", &shm) == 0;
  return ProcessInfo{
      .pid = getpid(),
      .host = HostName(),
      .boot_id = FirstLineOf("/proc/sys/kernel/random/boot_id"),
      .shm_device = has_shm ? shm.st_dev : 0,
      .program = std::string(program_invocation_short_name).substr(0, kMaxTextBytes),
  };
}

bool SharesMemory(const ProcessInfo& a, const ProcessInfo& b) {
  return !a.boot_id.empty() && a.boot_id == b.boot_id && a.shm_device != 0 && a.shm_device == b.shm_device;
}

bool ShareKernel(const ProcessInfo& a, const ProcessInfo& b) {
  return !a.boot_id.empty() && a.boot_id == b.boot_id;
}

}  // namespace pylabhub
