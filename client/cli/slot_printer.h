// Shows slots on standard output: as text, as JSON lines, or as their bytes alone.
//
// Text:  #12  2026-01-02T03:04:05.678901Z  celsius=21.5 Cel  timestamp_ns=...
// JSON:
// {"sequence":12,"timestamp_ns":...,"missed_slots":0,"payload_bytes":16,"records":[{"celsius":21.5,...}]}
// Raw:   the payload, nothing before it and nothing after.
//
// Thread safety: thread-compatible.
#pragma once

#include "absl/status/status.h"
#include "client/cli/decoder.h"
#include "shm/data_block_consumer.h"

namespace pylabhub::cli {

enum class Shape { kText, kJson, kRaw };

class SlotPrinter {
 public:
  SlotPrinter(Shape shape, const shm::Schema& schema) : shape_(shape), decoder_(schema) {}

  // kCancelled if whoever read our output is gone (`| head`), which is no failure; kUnavailable if writing
  // failed.
  //
  // `passed_over`: slots that were read and not shown since the last one that was; they count as missed.
  absl::Status Print(const shm::ReadSlot& slot, uint64_t passed_over = 0);

  // Shows what Print still holds back. Call before a wait. Same errors.
  absl::Status Flush();

 private:
  absl::Status PrintText(const shm::ReadSlot& slot, uint64_t missed_slots);
  absl::Status PrintJson(const shm::ReadSlot& slot, uint64_t missed_slots);

  Shape shape_;
  Decoder decoder_;
};

}  // namespace pylabhub::cli
