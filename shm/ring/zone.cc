#include "shm/ring/zone.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "shm/os/crash_point.h"
#include "shm/os/futex.h"
#include "shm/ring/inline_payload.h"

namespace pylabhub::shm {
namespace {

// A reader looks so often whether its copy is being overwritten.
constexpr size_t kBlockBytes = 4096;
// How often it begins again. A calibration does not change twice while it is read, let alone so often.
constexpr int kAttempts = 100;

constexpr size_t WholeWords(size_t bytes) { return bytes / sizeof(uint64_t) * sizeof(uint64_t); }

// Neither touches a byte of private memory that was not handed over: shared words are whole, private ends are not.
void StoreBytes(std::byte* shared, std::span<const std::byte> source) {
  if (source.empty()) return;  // It may be nowhere.
  const size_t whole_bytes = WholeWords(source.size());
  StoreInline(shared, source.data(), whole_bytes);
  if (whole_bytes == source.size()) return;
  std::byte last[sizeof(uint64_t)] = {};
  std::memcpy(last, source.data() + whole_bytes, source.size() - whole_bytes);
  StoreInline(shared + whole_bytes, last, sizeof(last));
}

void LoadBytes(const std::byte* shared, std::span<std::byte> target) {
  const size_t whole_bytes = WholeWords(target.size());
  LoadInline(shared, target.data(), whole_bytes);
  if (whole_bytes == target.size()) return;
  std::byte last[sizeof(uint64_t)];
  LoadInline(shared + whole_bytes, last, sizeof(last));
  std::memcpy(target.data() + whole_bytes, last, target.size() - whole_bytes);
}

void StoreZeros(std::byte* shared, size_t bytes) {
  for (size_t done = 0; done < bytes; done += sizeof(uint64_t)) {
    constexpr std::byte kZeros[sizeof(uint64_t)] = {};
    StoreInline(shared + done, kZeros, sizeof(kZeros));
  }
}

}  // namespace

absl::Status NoZone(const ChannelConfig& config) {
  return absl::FailedPreconditionError(
      absl::StrCat("channel '", config.channel, "' has no zone; create it with zone_schema or zone_bytes"));
}

ZoneWriter::ZoneWriter(const DataSegment& segment)
    : header_(At<ZoneHeader>(segment.base, segment.geometry.zone_offset_bytes)),
      closed_at_(&segment.header->wait.closed_at),
      copies_(segment.base + segment.geometry.zone_offset_bytes + sizeof(ZoneHeader)),
      zone_bytes_(segment.geometry.zone_bytes),
      copy_stride_bytes_(segment.geometry.zone_copy_stride_bytes()) {}

void ZoneWriter::Write(std::span<const std::byte> bytes) {
  ++version_;
  std::byte* const copy = copies_ + version_ % 2 * copy_stride_bytes_;
  // Relaxed, edge T: every word below is stored with release, so whoever sees one of them sees this.
  header_->begun.store(version_, std::memory_order_relaxed);
  PYLABHUB_CRASH_POINT("zone.write.begun");
  StoreBytes(copy, bytes);
  PYLABHUB_CRASH_POINT("zone.write.copied");
  const size_t written_bytes = WordsOf(bytes.size()) * sizeof(uint64_t);
  if (written_bytes < zone_bytes_) StoreZeros(copy + written_bytes, zone_bytes_ - written_bytes);
  PYLABHUB_CRASH_POINT("zone.write.zeroed");
  // Release, edge A.
  header_->published.store(version_, std::memory_order_release);
  PYLABHUB_CRASH_POINT("zone.write.published");
  FutexWakeAll(LowHalf(header_->published));
  PYLABHUB_CRASH_POINT("zone.write.told");
}

void ZoneWriter::WakeForTheEnd() {
  FutexWakeAll(LowHalf(*closed_at_));
  // Who was not let sleep on both.
  FutexWakeAll(LowHalf(header_->published));
  PYLABHUB_CRASH_POINT("zone.end.told");
}

ZoneReader::ZoneReader(const DataView& view)
    : header_(At<ZoneHeader>(view.base, view.geometry.zone_offset_bytes)),
      closed_at_(&view.header->wait.closed_at),
      copies_(view.base + view.geometry.zone_offset_bytes + sizeof(ZoneHeader)),
      zone_bytes_(view.geometry.zone_bytes),
      copy_stride_bytes_(view.geometry.zone_copy_stride_bytes()) {}

std::optional<uint64_t> ZoneReader::Read(std::span<std::byte> target) const {
  target = target.first(std::min<size_t>(target.size(), zone_bytes_));
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const uint64_t current = version();
    if (current == 0 || TryCopy(current, target)) return current;
  }
  return std::nullopt;
}

// Block by block, so that a copy which is being overwritten is given up at once: what was published just then stays
// untouched for the longest time.
bool ZoneReader::TryCopy(uint64_t version, std::span<std::byte> target) const {
  const std::byte* const copy = copies_ + version % 2 * copy_stride_bytes_;
  for (size_t done = 0; done < target.size(); done += kBlockBytes) {
    LoadBytes(copy + done, target.subspan(done, std::min(kBlockBytes, target.size() - done)));
    // Relaxed, edge T: the words were loaded with acquire, which keeps this load behind them.
    if (header_->begun.load(std::memory_order_relaxed) > version + 1) return false;
  }
  return true;
}

void ZoneReader::Sleep(uint64_t seen, absl::Duration timeout) const {
  const FutexWord words[] = {{LowHalf(header_->published), static_cast<uint32_t>(seen)},
                             {LowHalf(*closed_at_), 0}};
  if (FutexWaitAny(words, timeout) == FutexAny::kRefused)
    FutexWait(words[0].word, words[0].expected, timeout);
}

}  // namespace pylabhub::shm
