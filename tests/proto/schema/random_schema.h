// Random valid schemas, and one change at a time to them, each with what it must be called.
#ifndef PYLABHUB_TESTS_PROTO_SCHEMA_RANDOM_SCHEMA_H_
#define PYLABHUB_TESTS_PROTO_SCHEMA_RANDOM_SCHEMA_H_

#include <random>
#include <vector>

#include "proto/pylabhub/v1/schema.pb.h"
#include "proto/pylabhub/v1/schema_registry.pb.h"

namespace pylabhub::testing {

// Of 1 to 6 fields on each level, structs within structs, arrays, enumerations and units.
v1::Schema RandomSchema(std::mt19937_64& random);

struct Mutation {
  // Changes `schema`, which stays valid. False if it has nothing that could be changed so.
  bool (*apply)(v1::Schema& schema, std::mt19937_64& random);
  v1::SchemaDifferenceKind kind;
  v1::Compatibility compatibility;
};

// One for each kind of difference.
const std::vector<Mutation>& AllMutations();

}  // namespace pylabhub::testing

#endif  // PYLABHUB_TESTS_PROTO_SCHEMA_RANDOM_SCHEMA_H_
