// A consumer that lets a Witness judge what it sees: it opens its channel, reads, follows from producer to producer.
//
// Thread safety: thread-compatible.
#ifndef PYLABHUB_TESTS_CHAOS_READER_H_
#define PYLABHUB_TESTS_CHAOS_READER_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "shm/channel_config.h"
#include "shm/data_block_consumer.h"
#include "shm/slot_result.h"
#include "tests/chaos/ledger.h"
#include "tests/chaos/witness.h"

namespace pylabhub::chaos {

class Reader {
 public:
  enum class Step : uint8_t {
    kSlot,     // took a slot, or a batch of up to max_batch, and released it
    kMoved,    // opened the channel, followed to its next producer, or was cut off
    kEnded,    // read everything that a producer left that is gone
    kNothing,  // none of these within the time
    kFailed,   // something that must not happen; the record says what
  };

  // `config` as the producers have it; `options` with an order. With a max_batch of more than 1 it takes batches.
  Reader(Ledger& ledger, const shm::ChannelConfig& config, shm::ConsumerOptions options);

  // Called while a slot is held; true if it took a while, so that the slot is worth another look.
  using Hold = std::function<bool()>;

  // Does the next thing that there is to do, within about `timeout`.
  Step Next(absl::Duration timeout, const Hold& hold = nullptr);
  // Leaves the channel. The next step opens it again, as another consumer.
  void Leave();
  // True between a producer's end and the next one.
  bool waits_for_producer() const { return consumer_ == nullptr || ended_; }
  ConsumerRecord& record() { return *record_; }

 private:
  Step Open(absl::Duration timeout);
  Step Follow(absl::Duration timeout);
  Step Take(absl::Duration timeout, const Hold& hold);
  Step TakeBatch(absl::Duration timeout, const Hold& hold);
  Step TookNothing(shm::SlotResult result);
  void LookAtZone();
  Step Fail(const std::string& what);

  Ledger& ledger_;
  shm::ChannelConfig config_;
  shm::ConsumerOptions options_;
  ConsumerRecord* record_ = nullptr;
  std::optional<Witness> witness_;
  std::unique_ptr<shm::DataBlockConsumer> consumer_;
  bool ended_ = false;
  std::vector<std::byte> zone_;
};

}  // namespace pylabhub::chaos

#endif  // PYLABHUB_TESTS_CHAOS_READER_H_
