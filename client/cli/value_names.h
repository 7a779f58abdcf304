// Names of enumerations' values, for a recording: they are no part of what a segment says of its schema.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/channel.h"
#include "client/cli/enum_file.h"
#include "client/messenger.h"

namespace pylabhub::cli {

// Of each channel what the file at `path` (none, if it is empty) says; else what the broker's schema registry has under the
// channel's name: the newest version with the channel's schema that names any. A registry that cannot be asked is told on standard error, and is no error.
//
// Errors: those of ReadEnums; kInvalidArgument if the file names values of a field that is no integer.
absl::StatusOr<NamesByChannel> NamesOfValues(const std::vector<ChannelConsumer>& channels,
                                             const std::string& path, Messenger* messenger);

}  // namespace pylabhub::cli
