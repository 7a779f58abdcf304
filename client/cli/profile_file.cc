#include "client/cli/profile_file.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace pylabhub::cli {
namespace {

bool IsName(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.';
  });
}

absl::string_view WithoutComment(absl::string_view line) {
  for (size_t i = 0; i < line.size(); ++i) {
    const bool begins_word = i == 0 || absl::ascii_isspace(static_cast<unsigned char>(line[i - 1]));
    if (begins_word && (line[i] == '#' || line[i] == ';')) return line.substr(0, i);
  }
  return line;
}

std::string ValueOf(absl::string_view text, absl::string_view home) {
  if (text.size() >= 2 && (text.front() == '"' || text.front() == '\'') && text.back() == text.front()) {
    text = text.substr(1, text.size() - 2);
  }
  if (absl::ConsumePrefix(&text, "~/")) return absl::StrCat(home, "/", text);
  return std::string(text);
}

Profile& Named(absl::string_view name, std::vector<Profile>& profiles) {
  const auto found = std::find_if(profiles.begin(), profiles.end(),
                                  [&](const Profile& profile) { return profile.name == name; });
  if (found != profiles.end()) return *found;
  profiles.push_back({.name = std::string(name)});
  return profiles.back();
}

// What is wrong with the line, or nothing.
std::string Read(absl::string_view line, absl::string_view home, std::string& section,
                 std::vector<Profile>& profiles) {
  if (absl::ConsumePrefix(&line, "[")) {
    if (!absl::ConsumeSuffix(&line, "]") || !IsName(line)) {
      return "a profile begins with [NAME], of letters, digits, - _ and .";
    }
    section = std::string(line);
    Named(section, profiles);
    return "";
  }
  const std::vector<absl::string_view> parts = absl::StrSplit(line, absl::MaxSplits('=', 1));
  if (parts.size() != 2) return "this is no KEY = VALUE";
  const std::string key(absl::StripAsciiWhitespace(parts[0]));
  const std::vector<std::string>& keys = ProfileKeys();
  if (std::find(keys.begin(), keys.end(), key) == keys.end()) {
    return absl::StrCat("there is no setting '", key, "'; use ", absl::StrJoin(keys, ", "));
  }
  const std::string value = ValueOf(absl::StripAsciiWhitespace(parts[1]), home);
  if (!Named(section, profiles).settings.emplace(key, value).second) {
    return absl::StrCat("'", key, "' is set twice in [", section, "]");
  }
  return "";
}

}  // namespace

const std::vector<std::string>& ProfileKeys() {
  static const auto* const kKeys = new std::vector<std::string>{"broker", "certs", "directory", "output"};
  return *kKeys;
}

absl::StatusOr<std::vector<Profile>> ParseProfiles(absl::string_view text, absl::string_view path,
                                                   absl::string_view home) {
  std::vector<Profile> profiles;
  std::string section = kDefaultProfile;
  int line_number = 0;
  for (const absl::string_view whole : absl::StrSplit(text, '\n')) {
    ++line_number;
    const absl::string_view line = absl::StripAsciiWhitespace(WithoutComment(whole));
    if (line.empty()) continue;
    const std::string problem = Read(line, home, section, profiles);
    if (!problem.empty())
      return absl::InvalidArgumentError(absl::StrCat(path, ":", line_number, ": ", problem));
  }
  return profiles;
}

}  // namespace pylabhub::cli
