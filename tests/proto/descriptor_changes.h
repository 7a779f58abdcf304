// What of a wire API is no longer there, or has become something else: what would break those who speak it. What is new
// breaks nobody.
#ifndef PYLABHUB_TESTS_PROTO_DESCRIPTOR_CHANGES_H_
#define PYLABHUB_TESTS_PROTO_DESCRIPTOR_CHANGES_H_

#include <google/protobuf/descriptor.pb.h>

#include <string>
#include <vector>

namespace pylabhub::testing {

// One line for each element of `before`, in files of `package` and packages within it, that `after` lacks or has
// changed: messages, fields (number, name, type, cardinality, oneof), values of enumerations (number and name),
// services and methods. Names count, since JSON has them.
std::vector<std::string> BreakingChanges(const google::protobuf::FileDescriptorSet& before,
                                         const google::protobuf::FileDescriptorSet& after,
                                         const std::string& package);

}  // namespace pylabhub::testing

#endif  // PYLABHUB_TESTS_PROTO_DESCRIPTOR_CHANGES_H_
