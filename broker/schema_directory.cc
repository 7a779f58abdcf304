#include "broker/schema_directory.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "broker/refusal.h"
#include "broker/schema_compatibility.h"
#include "broker/validate.h"
#include "proto/schema/canonical.h"

namespace pylabhub::broker {
namespace {

bool KnowsTypesOf(const google::protobuf::RepeatedPtrField<v1::Field>& fields) {
  return std::all_of(fields.begin(), fields.end(), [](const v1::Field& field) {
    return v1::FieldType_IsValid(field.type()) && KnowsTypesOf(field.fields());
  });
}

// Whether a schema is stated that this broker can judge.
bool HasKnownSchema(const v1::ChannelSpec& channel) {
  return channel.has_schema() && KnowsTypesOf(channel.schema().fields());
}

// Null if the book has no schema with this hash, given in hexadecimal digits.
std::shared_ptr<const v1::Schema> FindByHexHash(const SchemaBook& book, const std::string& hex) {
  const absl::StatusOr<SchemaRecordPtr> record = book.FindByHash(absl::HexStringToBytes(hex));
  return record.ok() ? (*record)->schema : nullptr;
}

}  // namespace

absl::StatusOr<SchemaRegistration> SchemaDirectory::Register(absl::string_view name, const v1::Schema& schema,
                                                             absl::string_view identity,
                                                             v1::Compatibility required, absl::Time now) {
  absl::MutexLock lock(&mutex_);
  auto registration = book_.Register(name, schema, identity, required, now);
  book_.TakeAdded();
  return registration;
}

uint32_t SchemaDirectory::VersionFor(const v1::ChannelSpec& channel, absl::string_view identity) const {
  if (!HasKnownSchema(channel)) return 0;
  absl::ReaderMutexLock lock(&mutex_);
  return book_.VersionFor(channel.name(), channel.schema(), identity);
}

void SchemaDirectory::Keep(const v1::ChannelSpec& channel, absl::string_view identity, absl::Time now) {
  if (!HasKnownSchema(channel)) return;
  const absl::Status status =
      Register(channel.name(), channel.schema(), identity, v1::COMPATIBILITY_UNSPECIFIED, now).status();
  if (status.ok() || !log_) return;
  log_({LogLevel::kWarning,
        "schema_not_kept",
        {{"channel", channel.name()},
         {"identity", std::string(identity)},
         {"message", std::string(status.message())}}});
}

absl::Status CheckSchemaOf(const v1::ChannelSpec& channel) {
  if (!HasKnownSchema(channel)) return absl::OkStatus();
  if (absl::Status status = ValidateSchema(channel.schema(), "channel.schema"); !status.ok()) return status;
  const std::string hash = schema::HashOf(channel.schema());
  // A hash of another size is refused with the rest of what the request gets wrong.
  if (channel.schema_hash() == hash || channel.schema_hash().size() != hash.size()) return absl::OkStatus();
  return RefuseFields({{"channel.schema_hash",
                        absl::StrCat("must be the hash of channel.schema, ", absl::BytesToHexString(hash),
                                     ", not ", absl::BytesToHexString(channel.schema_hash()))}});
}

absl::Status ExplainMismatch(const SchemaBook& book, absl::Status status, const v1::Schema* expected) {
  const auto details = DetailsOf(status);
  if (!details.has_value() || details->reason != ReasonName(Reason::kSchemaMismatch)) return status;
  const auto actual = FindByHexHash(book, details->metadata.at("actual_schema_hash"));
  const auto found = FindByHexHash(book, details->metadata.at("expected_schema_hash"));
  if (expected == nullptr) expected = found.get();
  if (actual == nullptr || expected == nullptr || expected->name().empty()) return status;
  const std::string difference = InWords(Compare(*actual, *expected), Voice::kMismatch);
  Metadata metadata(details->metadata.begin(), details->metadata.end());
  metadata.emplace_back("difference", difference);
  return Refuse(Reason::kSchemaMismatch,
                absl::StrCat(status.message(), ". The channel's schema: ", difference), metadata,
                details->retry_delay);
}

}  // namespace pylabhub::broker
