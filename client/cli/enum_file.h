// Names of enumerations' values in a file, each line an object such as `pylabhub schema get --output json` prints:
//
//   {"name": "robot.state", "enums": {"mode": {"off": 0, "on": 1}, "arm.grip": {"open": 0}}}
//
// Of other members nothing is asked.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "client/broker_types.h"

namespace pylabhub::cli {

// By the schema's name, which is the channel's.
using NamesByChannel = std::map<std::string, EnumNames>;

// An error names the file, the line and the mend: kUnavailable if it cannot be
// read, kInvalidArgument if a line is something else.
absl::StatusOr<NamesByChannel> ReadEnums(const std::string& path);

// The value of "enums".
nlohmann::ordered_json EnumsToJson(const EnumNames& names);

}  // namespace pylabhub::cli
