// Connection profiles: what a person would otherwise type with every verb, under a name.
//
//   # ~/.config/pylabhub/profiles
//   broker = localhost:5570          ; before the first [NAME]: the profile `default`
//   certs = ~/pylabhub-certs
//
//   [lab7]
//   broker = lab7.example.org:5570
//   certs = ~/lab7-certs
//
// A line that begins with # or ; is a comment, and so is what follows " ;" or " #" on a line. Quotes around a value are not
// part of it, and "~/" at its beginning is the home folder.
//
// Pure: ParseProfiles reads no file and no environment.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace pylabhub::cli {

inline constexpr char kDefaultProfile[] = "default";

// The settings that a profile may have, each named as the flag is.
const std::vector<std::string>& ProfileKeys();

struct Profile {
  std::string name = {};
  std::map<std::string, std::string> settings = {};
};

// In the order of the text. kInvalidArgument names `path`, the line and the mend.
absl::StatusOr<std::vector<Profile>> ParseProfiles(absl::string_view text, absl::string_view path,
                                                   absl::string_view home);

}  // namespace pylabhub::cli
