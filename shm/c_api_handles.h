// What a handle of the C API is, for those parts of it that meet.
#ifndef PYLABHUB_SHM_C_API_HANDLES_H_
#define PYLABHUB_SHM_C_API_HANDLES_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "shm/c_api.h"
#include "shm/data_block_consumer.h"
#include "shm/schema.h"

struct plh_consumer {
  std::unique_ptr<pylabhub::shm::DataBlockConsumer> block;
  // At most one of them; both go before the block.
  std::optional<pylabhub::shm::ReadSlot> slot;
  std::optional<pylabhub::shm::ReadBatch> batch;
  std::string schema;
  std::string segment_id;

  explicit plh_consumer(std::unique_ptr<pylabhub::shm::DataBlockConsumer> opened) : block(std::move(opened)) {
    Describe();
  }
  void Describe() {
    schema = pylabhub::shm::CanonicalText(block->schema());
    segment_id = block->segment_id().ToHex();
  }
  bool holds() const { return slot.has_value() || batch.has_value(); }
};

#endif  // PYLABHUB_SHM_C_API_HANDLES_H_
