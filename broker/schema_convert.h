// Between a registered version and its message, which is also what a store keeps of it.
//
// Thread safety: free functions with no shared state.
#ifndef PYLABHUB_BROKER_SCHEMA_CONVERT_H_
#define PYLABHUB_BROKER_SCHEMA_CONVERT_H_

#include "broker/schema_book.h"
#include "proto/pylabhub/v1/schema_registry.pb.h"

namespace pylabhub::broker {

v1::SchemaVersion ToProto(const SchemaRecord& record, bool include_schema);

// Nothing is checked here: SchemaBook::Restore does.
SchemaRecord FromProto(const v1::SchemaVersion& version);

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_SCHEMA_CONVERT_H_
