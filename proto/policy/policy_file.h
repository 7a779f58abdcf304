// A policy from a file, with everything that is wrong with it and where.
//
// Thread safety: free functions with no shared state.
#ifndef PYLABHUB_PROTO_POLICY_POLICY_FILE_H_
#define PYLABHUB_PROTO_POLICY_POLICY_FILE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/policy/policy.h"

namespace pylabhub::policy {

struct Problem {
  // From 1; 0: of no place in particular.
  int line = 0;
  int column = 0;
  // The policy is good, and perhaps not what was meant.
  bool is_warning = false;
  // What is wrong, and what is allowed.
  std::string message = {};
};

// "FILE:LINE:COLUMN: MESSAGE", with "warning: " before a warning's.
std::string TextOf(const Problem& problem, absl::string_view file_name);
// All of them, a line each.
std::string TextOf(const std::vector<Problem>& problems, absl::string_view file_name);

struct PolicyReport {
  // In the order of lines.
  std::vector<Problem> problems = {};
  // Null if one of the problems is no warning.
  std::shared_ptr<const Policy> policy = nullptr;
};

// `text` is a pylabhub.policy.file.Policy in protobuf's text format. A syntax error ends the reading; whatever else is wrong is
// told at once. Rules that can never decide are not looked for: FindUnreachable in unreachable.h does.
PolicyReport ReadPolicy(absl::string_view text);

// The file's text.
//
// Errors: each names the file.
//   kNotFound, kUnavailable  it is not there, or cannot be read
//   kOutOfRange              it is larger than a policy may be, 4 MiB
//   kAborted                 it changed while it was read
absl::StatusOr<std::string> ReadPolicyText(const std::string& path);

// Both. A file that cannot be read is a problem of no place.
PolicyReport ReadPolicyFile(const std::string& path);

}  // namespace pylabhub::policy

#endif  // PYLABHUB_PROTO_POLICY_POLICY_FILE_H_
