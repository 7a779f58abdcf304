// Which requests are well formed: the rules that proto/pylabhub/v1 documents on each field.
//
// Thread safety: free functions with no shared state.
// Errors:        INVALID_REQUEST that names every field that breaks its rule, by its path in the request, and
// what
//                would be right.
#ifndef PYLABHUB_BROKER_VALIDATE_H_
#define PYLABHUB_BROKER_VALIDATE_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "broker/channel_types.h"
#include "proto/names/name_pattern.h"

namespace pylabhub::broker {

constexpr size_t kSchemaHashBytes = 32;
constexpr size_t kSegmentIdBytes = 16;
constexpr size_t kMaxSchemaBytes = 64 << 10;
constexpr size_t kMaxMetadataEntries = 64;
constexpr size_t kMaxMetadataValueBytes = 4096;
constexpr size_t kMaxMetadataBytes = 16 << 10;
constexpr size_t kMaxSessionsPerHeartbeat = 1000;
constexpr size_t kMaxNamesPerDiscover = 1000;
constexpr size_t kMaxWatchPatterns = 100;

using names::IsChannelName;

absl::Status ValidateRegister(absl::string_view session_id, const ChannelSpec& spec);
// An empty `expected_schema_hash` stands for any.
absl::Status ValidateDiscover(absl::string_view name, absl::string_view expected_schema_hash);
absl::Status ValidateDeregister(absl::string_view session_id, absl::string_view name);
absl::Status ValidateConsumerRegister(absl::string_view session_id, const ConsumerSpec& spec);
absl::Status ValidateConsumerDeregister(absl::string_view session_id, absl::string_view channel_name,
                                        absl::string_view consumer_id);
absl::Status ValidateHeartbeat(const std::vector<SessionClaims>& sessions);

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_VALIDATE_H_
