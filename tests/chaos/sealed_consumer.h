// A consumer of a sealed scenario, in a process of its own: one that stays, or the guest, which is evicted and comes again. It
// says what it saw that must not be.
#ifndef PYLABHUB_TESTS_CHAOS_SEALED_CONSUMER_H_
#define PYLABHUB_TESTS_CHAOS_SEALED_CONSUMER_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "shm/channel_config.h"
#include "shm/data_block_consumer.h"
#include "shm/segment_descriptors.h"
#include "tests/chaos/sealed_books.h"

namespace pylabhub::chaos {

class SealedConsumer {
 public:
  // Its socket leads to who deals the descriptors out.
  SealedConsumer(const shm::ChannelConfig& config, Books& books, int name, int socket, bool stays)
      : config_(config),
        books_(books),
        desk_(books.desk[name]),
        socket_(socket),
        stays_(stays),
        part_(stays || shares() ? 0 : kGuestPart) {}

  // To the end of the last segment. The process's exit code.
  int Consume();

 private:
  bool shares() const { return config_.policy == shm::Policy::kPipeline; }
  // Descriptors of the segment after `after`, or of the newest if that is nil; none if there will be none.
  std::optional<shm::ConsumerDescriptors> Ask(const shm::SegmentId& after);
  uint32_t IndexOf(const shm::SegmentId& id) const;
  // To the end of the segment, or until it is cut off.
  shm::SlotResult ReadAll(shm::DataBlockConsumer& consumer, bool from_the_start, bool& got_any);
  void CheckZone(const shm::DataBlockConsumer& consumer);
  // `next`: the number that comes next, once one is known.
  shm::SlotResult ReadOne(shm::DataBlockConsumer& consumer, uint32_t index, bool waited_for,
                          std::optional<uint64_t>& next);

  const shm::ChannelConfig& config_;
  Books& books_;
  Books::Desk& desk_;
  int socket_;
  bool stays_;
  uint32_t part_;
};

}  // namespace pylabhub::chaos

#endif  // PYLABHUB_TESTS_CHAOS_SEALED_CONSUMER_H_
