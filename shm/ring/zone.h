// The flexible zone on bytes that it is handed: data beside the slots that changes slowly, such as a calibration. Two
// copies, of which the producer writes one while the other is read.
//
//   producer (version v)                               consumer
//   1. store begun = v                                 1. load published (acquire): w
//   2. write copy v mod 2     <-------- T -------      2. read copy w mod 2
//   3. store published = v    --------- A ------->     3. load begun: more than w + 1? read again
//   4. wake who sleeps on published
//
// Who waits for a version sleeps on published and, so that the end is not slept over, on closed_at: the kernel compares both
// words with what was seen before it lets anybody sleep.
//
// A: a consumer that sees published == v sees every byte of version v.
// T: a consumer that has read a word of version w + 2 sees that it was begun. Version w + 1 lies in the other copy.
//
// The writer never waits, and a reader writes nothing: one that is slow, stopped or killed disturbs nobody. A producer
// that dies in the middle of a write leaves the version before it readable.
//
// Thread safety: a ZoneWriter belongs to its producer's thread; a ZoneReader is thread-safe.
// Ownership:     points into a segment that outlives it.
#ifndef PYLABHUB_SHM_RING_ZONE_H_
#define PYLABHUB_SHM_RING_ZONE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "shm/channel_config.h"
#include "shm/segment/data_segment.h"
#include "shm/segment/layout.h"

namespace pylabhub::shm {

// What to answer where `config` has no zone: kFailedPrecondition, with the mend.
absl::Status NoZone(const ChannelConfig& config);

class ZoneWriter {
 public:
  // For a segment that has a zone, and whose zone nobody else writes.
  explicit ZoneWriter(const DataSegment& segment);

  // Publishes `bytes`, and zeros up to the size of the zone, as the next version. At most zone_bytes of them. One system
  // call, whether or not anybody sleeps: it costs less than a word that says so, in a place that every consumer may write.
  void Write(std::span<const std::byte> bytes);
  // Wakes everybody who waits for a version that will not come. After the channel was closed.
  void WakeForTheEnd();

  uint64_t version() const { return version_; }

 private:
  ZoneHeader* header_;
  const std::atomic<uint64_t>* closed_at_;
  std::byte* copies_;
  uint64_t zone_bytes_;
  uint64_t copy_stride_bytes_;
  uint64_t version_ = 0;
};

class ZoneReader {
 public:
  // For a segment that has a zone.
  explicit ZoneReader(const DataView& view);

  // The version that is to be read; they count from 1, and 0 is none. Acquire, edge A.
  uint64_t version() const { return header_->published.load(std::memory_order_acquire); }

  // Copies the first bytes of one whole version into `target`, as many as both have; which version it is. Version 0 copies
  // nothing. None if the producer was faster each time: it has to write two versions while one is read.
  std::optional<uint64_t> Read(std::span<std::byte> target) const;

  // Sleeps until a write, the end of the channel, or for `timeout`; not at all if the version is not `seen` any more, or the
  // channel is closed. May return early. Where the kernel lets nobody sleep on two words, an end that comes just now is slept
  // over.
  void Sleep(uint64_t seen, absl::Duration timeout) const;

 private:
  bool TryCopy(uint64_t version, std::span<std::byte> target) const;

  const ZoneHeader* header_;
  const std::atomic<uint64_t>* closed_at_;
  const std::byte* copies_;
  uint64_t zone_bytes_;
  uint64_t copy_stride_bytes_;
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_RING_ZONE_H_
