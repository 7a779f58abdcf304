#include "broker/schema_convert.h"

#include "broker/convert.h"

namespace pylabhub::broker {

v1::SchemaVersion ToProto(const SchemaRecord& record, bool include_schema) {
  v1::SchemaVersion out;
  out.set_name(record.name);
  out.set_version(record.version);
  out.set_schema_hash(record.schema_hash);
  if (include_schema) *out.mutable_schema() = *record.schema;
  *out.mutable_register_time() = ToProto(record.register_time);
  out.set_identity(record.identity);
  return out;
}

SchemaRecord FromProto(const v1::SchemaVersion& version) {
  return {.name = version.name(),
          .version = version.version(),
          .schema_hash = version.schema_hash(),
          .schema = std::make_shared<const v1::Schema>(version.schema()),
          .register_time = absl::FromUnixSeconds(version.register_time().seconds()) +
                           absl::Nanoseconds(version.register_time().nanos()),
          .identity = version.identity()};
}

}  // namespace pylabhub::broker
