// The wire API as descriptors: as it was frozen, and as it is.
#ifndef PYLABHUB_TESTS_PROTO_DESCRIPTOR_SET_H_
#define PYLABHUB_TESTS_PROTO_DESCRIPTOR_SET_H_

#include <google/protobuf/descriptor.pb.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <string>

namespace pylabhub::testing {

// `path` is a file's in the tree; the test names it as its data.
inline google::protobuf::FileDescriptorSet ReadDescriptorSet(const std::string& path) {
  const char* const folder = std::getenv("TEST_SRCDIR");
  const char* const workspace = std::getenv("TEST_WORKSPACE");
  std::ifstream file(std::string(folder) + "/" + workspace + "/" + path, std::ios::binary);
  google::protobuf::FileDescriptorSet files;
  EXPECT_TRUE(files.ParseFromIstream(&file)) << path;
  return files;
}

inline google::protobuf::FileDescriptorSet FrozenDescriptors() {
  return ReadDescriptorSet("tests/proto/frozen/pylabhub_v1.binpb");
}

inline google::protobuf::FileDescriptorSet TodaysDescriptors() {
  return ReadDescriptorSet("proto/pylabhub_cc_proto.binpb");
}

}  // namespace pylabhub::testing

#endif  // PYLABHUB_TESTS_PROTO_DESCRIPTOR_SET_H_
