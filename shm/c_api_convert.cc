#include "shm/c_api_convert.h"

#include <algorithm>

namespace pylabhub::shm::c_api {

void Explain(const absl::Status& status, plh_error* error) {
  if (error == nullptr) return;
  error->code = static_cast<int32_t>(status.code());
  const absl::string_view message = status.message();
  const size_t bytes = std::min(message.size(), sizeof(error->message) - 1);
  message.copy(error->message, bytes);
  error->message[bytes] = '\0';
}

plh_result ResultOf(SlotResult result) {
  switch (result) {
    case SlotResult::kOk:
      return PLH_OK;
    case SlotResult::kTimeout:
      return PLH_TIMEOUT;
    case SlotResult::kProducerClosed:
      return PLH_PRODUCER_CLOSED;
    case SlotResult::kProducerDead:
      return PLH_PRODUCER_DEAD;
    case SlotResult::kOverrun:
      return PLH_OVERRUN;
    case SlotResult::kCorrupt:
      return PLH_CORRUPT;
    case SlotResult::kTooLarge:
      return PLH_TOO_LARGE;
    case SlotResult::kCutOff:
      return PLH_CUT_OFF;
    case SlotResult::kForked:
      return PLH_FORKED;
    case SlotResult::kNoChecksum:
      return PLH_NO_CHECKSUM;
    case SlotResult::kNoZone:
      return PLH_NO_ZONE;
  }
  return PLH_NO_SLOT;
}

absl::StatusOr<Schema> SchemaFrom(const char* canonical_text) {
  if (canonical_text == nullptr) return Schema::Opaque();
  return ParseCanonicalText(canonical_text);
}

}  // namespace pylabhub::shm::c_api

uint32_t plh_abi_version(void) { return PLH_ABI_VERSION; }

const char* plh_result_name(plh_result result) {
  switch (result) {
    case PLH_OK:
      return "ok";
    case PLH_TIMEOUT:
      return "timeout";
    case PLH_PRODUCER_CLOSED:
      return "producer closed";
    case PLH_PRODUCER_DEAD:
      return "producer dead";
    case PLH_OVERRUN:
      return "overrun";
    case PLH_CORRUPT:
      return "corrupt";
    case PLH_TOO_LARGE:
      return "too large";
    case PLH_CUT_OFF:
      return "cut off";
    case PLH_FORKED:
      return "forked";
    case PLH_NO_CHECKSUM:
      return "no checksum";
    case PLH_NO_ZONE:
      return "no zone";
    case PLH_NO_SLOT:
      return "no slot";
    case PLH_WOKEN:
      return "woken";
  }
  return "unknown";
}
