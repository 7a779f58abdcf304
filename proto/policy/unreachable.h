// Rules that never decide anything, since those before them decide it all.
//
// Thread safety: free function with no shared state.
#ifndef PYLABHUB_PROTO_POLICY_UNREACHABLE_H_
#define PYLABHUB_PROTO_POLICY_UNREACHABLE_H_

#include <vector>

#include "proto/policy/policy_file.h"

namespace pylabhub::policy {

// A warning for each rule of which every principal, action and channel is matched by one earlier rule or another, as far as
// that can be seen (names::Covers). What is reported is true; of rules that several earlier ones cover only together, not all
// are found.
//
// Time: grows with the square of the rules: about a second for a thousand. For people's tools, not for a broker at work.
std::vector<Problem> FindUnreachable(const Policy& policy);

}  // namespace pylabhub::policy

#endif  // PYLABHUB_PROTO_POLICY_UNREACHABLE_H_
