#include "tests/chaos/life_lock.h"

#include <unistd.h>

#include <utility>

#include "shm/channel/channel_files.h"
#include "shm/os/kernel_lock.h"
#include "shm/segment/control_segment.h"
#include "shm/segment/layout.h"
#include "tests/chaos/ledger.h"

namespace pylabhub::chaos {
namespace {

constexpr int64_t kPatienceNs = 1'000'000'000;
constexpr useconds_t kLookMicros = 20;

std::optional<shm::Mapping> Map(const std::string& path) {
  auto fd = shm::OpenChannelFile(path, shm::Access::kReadOnly);
  if (!fd.ok()) return std::nullopt;
  auto mapping = shm::Mapping::Of(*std::move(fd), shm::Access::kReadOnly);
  if (!mapping.ok()) return std::nullopt;
  return *std::move(mapping);
}

}  // namespace

std::optional<LifeLock> LifeLock::OfProducer(const shm::ChannelConfig& config,
                                             const shm::SegmentId& segment_id) {
  std::optional<shm::Mapping> data =
      Map(shm::ChannelFiles(config.directory, config.channel).DataPath(segment_id));
  if (!data.has_value()) return std::nullopt;
  LifeLock lock(*std::move(data), shm::kProducerLockByte);
  if (!lock.IsHeld()) return std::nullopt;
  return lock;
}

std::optional<LifeLock> LifeLock::OfConsumer(const shm::ChannelConfig& config,
                                             const shm::SegmentId& segment_id, pid_t pid) {
  std::optional<shm::Mapping> control =
      Map(shm::ChannelFiles(config.directory, config.channel).ControlPath(segment_id));
  if (!control.has_value()) return std::nullopt;
  const auto view = shm::ViewControl(control->bytes());
  if (!view.ok()) return std::nullopt;
  for (uint32_t place = 0; place < config.max_consumers; ++place) {
    const shm::ConsumerEntry& entry = view->entry(place);
    const bool active = shm::PhaseOf(entry.state.load(std::memory_order_acquire)) == shm::Phase::kActive;
    if (!active || entry.pid.load(std::memory_order_relaxed) != pid) continue;
    LifeLock lock(*std::move(control), shm::kFirstConsumerLockByte + place);
    if (!lock.IsHeld()) return std::nullopt;
    return lock;
  }
  return std::nullopt;
}

bool LifeLock::IsHeld() const { return shm::ByteIsLocked(file_.fd(), byte_); }

std::optional<int64_t> LifeLock::WaitForRelease() const {
  const int64_t begun_ns = NowNanos();
  for (int64_t held_ns = begun_ns; held_ns - begun_ns < kPatienceNs;) {
    const int64_t now_ns = NowNanos();
    if (!IsHeld()) return held_ns;
    held_ns = now_ns;
    usleep(kLookMicros);
  }
  return std::nullopt;
}

}  // namespace pylabhub::chaos
