// Reads arbitrary text as a file of revocations, and as an authority's list: what is accepted is written as a file that means
// the same, and what is not is refused by the file's name.
#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "proto/tls/revocation_list.h"
#include "tests/fuzz/require.h"

namespace pylabhub::tls {
namespace {

constexpr char kName[] = "the-file";

void CheckFile(absl::string_view text) {
  const absl::StatusOr<RevocationList> list = RevocationList::Parse(text, kName);
  if (!list.ok()) {
    fuzz::Require(absl::IsInvalidArgument(list.status()) && absl::StrContains(list.status().message(), kName),
                  "a refusal names the file");
    return;
  }
  const absl::StatusOr<RevocationList> again = RevocationList::Parse(list->ToText(), kName);
  fuzz::Require(again.ok(), "what was read is written so that it can be read");
  fuzz::Require(again->size() == list->size() && again->ToText() == list->ToText(), "and means the same");
}

// Nobody can sign for an authority that is not there.
void CheckList(absl::string_view text) {
  RevocationList list;
  const absl::Status status = list.AddCrl(text, text);
  fuzz::Require(status.ok() || (absl::IsInvalidArgument(status) && !status.message().empty()),
                "a refusal says why");
}

}  // namespace
}  // namespace pylabhub::tls

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  const absl::string_view text(reinterpret_cast<const char*>(data), bytes);
  if (absl::StrContains(text, "-----BEGIN")) {
    pylabhub::tls::CheckList(text);
  } else {
    pylabhub::tls::CheckFile(text);
  }
  return 0;
}
