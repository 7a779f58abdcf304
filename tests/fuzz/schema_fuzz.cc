// Reads arbitrary text as the canonical text of a schema: what is accepted is canonical, and means what it says.
#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "shm/schema.h"
#include "tests/fuzz/require.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  using pylabhub::fuzz::Require;
  const absl::string_view text(reinterpret_cast<const char*>(data), bytes);
  const absl::StatusOr<pylabhub::shm::Schema> schema = pylabhub::shm::ParseCanonicalText(text);
  if (!schema.ok()) {
    Require(absl::IsInvalidArgument(schema.status()) && !schema.status().message().empty(),
            "a refusal says why");
    return 0;
  }
  Require(schema->Validate().ok(), "a schema that was read is valid");
  Require(CanonicalText(*schema) == text, "a schema has one text");
  for (const pylabhub::shm::Field& field : schema->fields) {
    Require(field.offset_bytes + field.bytes() <= schema->record_bytes, "a field lies in its record");
  }
  return 0;
}
