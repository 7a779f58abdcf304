// Which chunk the next large payload is written into: the producer's private account of a segment's chunks.
//
// A chunk is in the ring (some descriptor names it), being written, retired (no descriptor names it any more,
// but a consumer may have pinned it before that), or free. The chunk that became free last is taken first: it
// is the one that is still in the cache, and is called warm. In a pool that fits into the cache as a whole, every free
// chunk is.
//
// Thread safety: thread-compatible; it belongs to the producer's thread.
#ifndef PYLABHUB_SHM_RING_CHUNK_POOL_H_
#define PYLABHUB_SHM_RING_CHUNK_POOL_H_

#include <cstdint>
#include <vector>

#include "shm/ring/consumer_roster.h"

namespace pylabhub::shm {

class ChunkPool {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  ChunkPool(uint32_t chunk_count, bool all_fit_into_cache);

  // A chunk that nobody reads; kNone if all that are retired are pinned, which correct consumers cannot bring
  // about. `head` is the number of slots committed.
  uint32_t Take(ConsumerRoster& roster, uint64_t head);
  // True if so many warm chunks are free: it is not worth the time to look for others that could be retired.
  bool HasWarm(size_t chunks) const { return free_.size() - cold_ >= chunks; }
  // Gives back what Take returned and nobody has seen.
  void Return(uint32_t chunk) { free_.push_back(chunk); }
  // No descriptor names `chunk` any more.
  void Retire(uint32_t chunk) { retired_.push_back(chunk); }

 private:
  void MarkPinned(ConsumerRoster& roster);
  void Reclaim(ConsumerRoster& roster, uint64_t head);

  bool all_fit_into_cache_;
  std::vector<uint32_t> free_;     // a stack
  size_t cold_ = 0;                // of those, at the bottom
  std::vector<uint32_t> retired_;  // oldest first
  std::vector<bool> pinned_;       // by chunk; scratch
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_RING_CHUNK_POOL_H_
