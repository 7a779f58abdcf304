#include "shm/channel/anchor.h"

#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "shm/os/crash_point.h"
#include "shm/os/full_fence.h"
#include "shm/os/futex.h"
#include "shm/os/kernel_lock.h"

namespace pylabhub::shm {
namespace {

// Each turn means that somebody removed the channel at that very moment.
constexpr int kLockAttempts = 100;
constexpr int kReadAttempts = 1000;
// How long to wait for somebody who leaves: they take well below a millisecond, unless they are stopped, or the machine is
// very busy. A producer waits longer, since it would take the one who leaves for another producer.
constexpr absl::Duration kTurnPatience = absl::Milliseconds(50);
constexpr absl::Duration kProducersPatience = absl::Milliseconds(500);

absl::StatusOr<UniqueFd> OpenOrCreate(const std::string& path, std::optional<gid_t> group) {
  absl::StatusOr<UniqueFd> fd = OpenChannelFile(path, Access::kReadWrite);
  if (fd.ok() || !absl::IsNotFound(fd.status())) return fd;
  return CreateChannelFile(path, group.has_value() ? kGroupReadMode : kPrivateMode, group);
}

// True if somebody who leaves had the turn, and so may have held the producer's lock for a moment.
bool WaitedForTurn(int fd) {
  if (!ByteIsLocked(fd, kTurnLockByte)) return false;
  const absl::StatusOr<bool> locked = TryLockByteFor(fd, kTurnLockByte, kProducersPatience);
  if (!locked.ok() || !*locked) return false;
  PYLABHUB_CRASH_POINT("anchor.lock.turn_waited_for");
  UnlockByte(fd, kTurnLockByte);
  return true;
}

bool HasTheName(int fd, const std::string& path) {
  struct stat by_fd = {};
  struct stat by_name = {};
  return fstat(fd, &by_fd) == 0 && lstat(path.c_str(), &by_name) == 0 && by_fd.st_dev == by_name.st_dev &&
         by_fd.st_ino == by_name.st_ino;
}

absl::Status CheckBlock(const AnchorBlock& block) {
  // Acquire: pairs with the release at creation.
  if (block.magic.load(std::memory_order_acquire) != kAnchorMagic) {
    return absl::FailedPreconditionError("not an anchor of pylabhub");
  }
  if (block.abi_version != kAbiVersion) {
    return absl::FailedPreconditionError(absl::StrCat("the anchor has layout version ", block.abi_version,
                                                      ", this program reads ", kAbiVersion));
  }
  return absl::OkStatus();
}

absl::Status WithPath(const absl::Status& status, const std::string& path) {
  return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
}

}  // namespace

absl::StatusOr<Anchor> Anchor::Lock(const ChannelFiles& files, std::optional<gid_t> group) {
  const std::string path = files.AnchorPath();
  bool held_by_reader = false;
  for (int attempt = 0; attempt < kLockAttempts; ++attempt) {
    absl::StatusOr<UniqueFd> fd = OpenOrCreate(path, group);
    if (absl::IsAlreadyExists(fd.status())) continue;
    if (!fd.ok()) return fd.status();
    const absl::StatusOr<bool> locked = TryLockByte(fd->get(), kAnchorLockByte);
    if (!locked.ok()) return locked.status();
    if (!*locked && WaitedForTurn(fd->get())) continue;
    // Its holder gave it back since; or it is a reader's, and stays so.
    held_by_reader = !*locked && !ByteIsLocked(fd->get(), kAnchorLockByte);
    if (held_by_reader) continue;
    if (!*locked) {
      return absl::AlreadyExistsError(
          absl::StrCat("channel '", files.channel(), "' has a live producer; stop it, or use another name"));
    }
    PYLABHUB_CRASH_POINT("anchor.lock.locked");
    if (!HasTheName(fd->get(), path)) continue;
    // It may be an earlier producer's, with another group or none.
    SetModeIfOwner(fd->get(), group.has_value() ? kGroupReadMode : kPrivateMode, group);
    PYLABHUB_CRASH_POINT("anchor.lock.mode_set");
    absl::StatusOr<Mapping> mapping = Mapping::Reserve(*std::move(fd), kPageBytes);
    if (!mapping.ok()) return mapping.status();
    PYLABHUB_CRASH_POINT("anchor.lock.reserved");
    Anchor anchor(path, *std::move(mapping));
    if (anchor.block()->magic.load(std::memory_order_relaxed) == 0) {
      anchor.block()->abi_version = kAbiVersion;
      PYLABHUB_CRASH_POINT("anchor.lock.version_written");
      anchor.block()->magic.store(kAnchorMagic, std::memory_order_release);
      PYLABHUB_CRASH_POINT("anchor.lock.published");
    }
    if (absl::Status status = CheckBlock(*anchor.block()); !status.ok()) return WithPath(status, path);
    return anchor;
  }
  if (held_by_reader) {
    return absl::UnavailableError(
        absl::StrCat(path, " is locked by a process that may only read it; find it with lslocks and end it"));
  }
  return absl::UnavailableError(
      absl::StrCat(path, " appears and vanishes all the time; is it being cleaned up?"));
}

absl::StatusOr<Anchor> Anchor::Open(const ChannelFiles& files) {
  const std::string path = files.AnchorPath();
  absl::StatusOr<UniqueFd> fd = OpenChannelFile(path, Access::kReadOnly);
  if (!fd.ok()) return fd.status();
  struct stat stats = {};
  // A producer that has just created the file has not sized it yet.
  if (fstat(fd->get(), &stats) == 0 && stats.st_size < static_cast<off_t>(kPageBytes)) {
    return absl::NotFoundError(absl::StrCat(path, " is not finished"));
  }
  absl::StatusOr<Mapping> mapping = Mapping::Of(*std::move(fd), Access::kReadOnly);
  if (!mapping.ok()) return WithPath(mapping.status(), path);
  Anchor anchor(path, *std::move(mapping));
  if (anchor.block()->magic.load(std::memory_order_relaxed) == 0) {
    return absl::NotFoundError(absl::StrCat(path, " is not finished"));
  }
  if (absl::Status status = CheckBlock(*anchor.block()); !status.ok()) return WithPath(status, path);
  return anchor;
}

Anchor::Current Anchor::Read() const {
  Current current{};
  for (int attempt = 0; attempt < kReadAttempts; ++attempt) {
    // Acquire: pairs with the release in Publish, and brings the id.
    current.publications = block()->publications.load(std::memory_order_acquire);
    current.segment_id = block()->segment_ids[current.publications & 1];
    ReadFence();
    // The other id is written for the next publication; this one only for the one after that.
    if (block()->publications.load(std::memory_order_acquire) == current.publications) break;
  }
  return current;
}

bool Anchor::IsLocked() const { return ByteIsLocked(mapping_.fd(), kAnchorLockByte); }

void Anchor::WaitForChange(const Current& seen, absl::Duration timeout) const {
  FutexWait(reinterpret_cast<const uint32_t*>(&block()->publications), seen.publications, timeout);
}

FutexWord Anchor::word() const {
  return {.word = reinterpret_cast<const uint32_t*>(&block()->publications),
          .expected = block()->publications.load(std::memory_order_acquire)};
}

bool Anchor::HasItsName() const { return HasTheName(mapping_.fd(), path_); }

void Anchor::Publish(const SegmentId& segment_id) {
  const uint32_t next = block()->publications.load(std::memory_order_relaxed) + 1;
  // The other id is in use until the publication before this one is seen.
  WriteFence();
  block()->segment_ids[next & 1] = segment_id;
  PYLABHUB_CRASH_POINT("anchor.publish.id_written");
  block()->publications.store(next, std::memory_order_release);
  PYLABHUB_CRASH_POINT("anchor.publish.counted");
  FutexWakeAll(reinterpret_cast<const uint32_t*>(&block()->publications));
  PYLABHUB_CRASH_POINT("anchor.publish.woken");
}

absl::StatusOr<Anchor> Anchor::TakeTurn(const ChannelFiles& files) {
  const std::string path = files.AnchorPath();
  for (int attempt = 0; attempt < kLockAttempts; ++attempt) {
    absl::StatusOr<UniqueFd> fd = OpenChannelFile(path, Access::kReadWrite);
    if (!fd.ok()) return fd.status();
    const absl::StatusOr<bool> locked = TryLockByteFor(fd->get(), kTurnLockByte, kTurnPatience);
    if (!locked.ok()) return locked.status();
    if (!*locked)
      return absl::UnavailableError(absl::StrCat(path, ": somebody is leaving, and does not end"));
    PYLABHUB_CRASH_POINT("anchor.turn.taken");
    if (!HasTheName(fd->get(), path)) continue;
    absl::StatusOr<Mapping> mapping = Mapping::Of(*std::move(fd), Access::kReadOnly);
    if (!mapping.ok()) return mapping.status();
    if (mapping->bytes().size() < kPageBytes)
      return absl::FailedPreconditionError("the anchor is not finished");
    return Anchor(path, *std::move(mapping));
  }
  return absl::UnavailableError(absl::StrCat(path, " appears and vanishes all the time"));
}

bool Anchor::TryLockAsProducer() const {
  const absl::StatusOr<bool> locked = TryLockByte(mapping_.fd(), kAnchorLockByte);
  PYLABHUB_CRASH_POINT("anchor.turn.producer_lock_tried");
  return locked.ok() && *locked;
}

bool Anchor::IsHeld(const ChannelFiles& files) {
  const absl::StatusOr<UniqueFd> fd = OpenChannelFile(files.AnchorPath(), Access::kReadOnly);
  return fd.ok() ? AnyByteIsLocked(fd->get()) : !absl::IsNotFound(fd.status());
}

bool Anchor::RemoveIfUnheld(const ChannelFiles& files) {
  const std::string path = files.AnchorPath();
  const absl::StatusOr<UniqueFd> fd = OpenChannelFile(path, Access::kReadWrite);
  if (!fd.ok()) return false;
  // In the order of those who leave, and with both: so no producer begins on the file that goes.
  for (const int64_t byte : {kTurnLockByte, kAnchorLockByte}) {
    const absl::StatusOr<bool> locked = TryLockByte(fd->get(), byte);
    if (!locked.ok() || !*locked) return false;
  }
  return HasTheName(fd->get(), path) && unlink(path.c_str()) == 0;
}

void Anchor::Remove() const {
  PYLABHUB_CRASH_POINT("anchor.remove.begun");
  if (HasItsName()) unlink(path_.c_str());
  PYLABHUB_CRASH_POINT("anchor.remove.unlinked");
}

}  // namespace pylabhub::shm
