// The wire API that was published, and the one that is built: nothing that was there is gone or has become something
// else. What finds that out is tried on copies that are broken on purpose.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "tests/proto/descriptor_changes.h"
#include "tests/proto/descriptor_set.h"

namespace pylabhub::testing {
namespace {

using google::protobuf::DescriptorProto;
using google::protobuf::FieldDescriptorProto;
using google::protobuf::FileDescriptorProto;
using google::protobuf::FileDescriptorSet;
using ::testing::IsEmpty;

constexpr char kPackage[] = "pylabhub.v1";

template <typename Elements>
auto& Named(Elements* elements, const std::string& name) {
  for (auto& element : *elements) {
    if (element.name() == name) return element;
  }
  ADD_FAILURE() << name << " is not in the frozen wire API";
  return *elements->Mutable(0);
}

template <typename Elements>
void Remove(Elements* elements, const std::string& name) {
  for (int i = 0; i < elements->size(); ++i) {
    if (elements->Get(i).name() == name) return elements->DeleteSubrange(i, 1);
  }
  ADD_FAILURE() << name << " is not in the frozen wire API";
}

FileDescriptorProto& BrokerFile(FileDescriptorSet& files) {
  return Named(files.mutable_file(), "pylabhub/v1/broker.proto");
}
DescriptorProto& Message(FileDescriptorSet& files, const std::string& name) {
  return Named(BrokerFile(files).mutable_message_type(), name);
}
FieldDescriptorProto& Field(FileDescriptorSet& files, const std::string& message, const std::string& name) {
  return Named(Message(files, message).mutable_field(), name);
}

TEST(FrozenTest, NothingOfTheFrozenWireApiIsGoneOrHasChanged) {
  ASSERT_GT(FrozenDescriptors().file_size(), 5);
  EXPECT_THAT(BreakingChanges(FrozenDescriptors(), TodaysDescriptors(), kPackage), IsEmpty());
}

TEST(FrozenTest, WhatIsAddedBreaksNobody) {
  FileDescriptorSet after = FrozenDescriptors();
  FieldDescriptorProto& field = *Message(after, "RegisterRequest").add_field();
  field.set_name("added");
  field.set_number(1000);
  Named(BrokerFile(after).mutable_enum_type(), "ReadConsistency").add_value()->set_number(1000);
  BrokerFile(after).add_message_type()->set_name("Added");
  Named(BrokerFile(after).mutable_service(), "Broker").add_method()->set_name("Added");
  EXPECT_THAT(BreakingChanges(FrozenDescriptors(), after, kPackage), IsEmpty());
}

TEST(FrozenTest, EveryKindOfBreakingChangeIsFound) {
  using Break = std::function<void(FileDescriptorSet&)>;
  const std::pair<const char*, Break> breaks[] = {
      {"a file removed",
       [](FileDescriptorSet& files) { Remove(files.mutable_file(), "pylabhub/v1/schema.proto"); }},
      {"a message removed",
       [](FileDescriptorSet& files) { Remove(BrokerFile(files).mutable_message_type(), "HandOver"); }},
      {"a field removed",
       [](FileDescriptorSet& files) { Remove(Message(files, "RegisterRequest").mutable_field(), "force"); }},
      {"a field renumbered",
       [](FileDescriptorSet& files) { Field(files, "RegisterRequest", "force").set_number(1000); }},
      {"a field renamed",
       [](FileDescriptorSet& files) { Field(files, "RegisterRequest", "force").set_name("take"); }},
      {"a field renamed in JSON",
       [](FileDescriptorSet& files) {
         Field(files, "RegisterRequest", "session_id").set_json_name("session");
       }},
      {"a field retyped",
       [](FileDescriptorSet& files) {
         Field(files, "DeregisterRequest", "epoch").set_type(FieldDescriptorProto::TYPE_FIXED64);
       }},
      {"a field of another message",
       [](FileDescriptorSet& files) {
         Field(files, "RegisterRequest", "channel").set_type_name(".pylabhub.v1.Channel");
       }},
      {"a field no longer repeated",
       [](FileDescriptorSet& files) {
         Field(files, "DiscoverRequest", "names").set_label(FieldDescriptorProto::LABEL_OPTIONAL);
       }},
      {"a field out of its oneof",
       [](FileDescriptorSet& files) { Field(files, "DiscoverResult", "error").clear_oneof_index(); }},
      {"a value of an enumeration removed",
       [](FileDescriptorSet& files) {
         Remove(Named(BrokerFile(files).mutable_enum_type(), "LossReason").mutable_value(),
                "LOSS_REASON_FENCED");
       }},
      {"a value of an enumeration renumbered",
       [](FileDescriptorSet& files) {
         auto& type = Named(BrokerFile(files).mutable_enum_type(), "LossReason");
         Named(type.mutable_value(), "LOSS_REASON_FENCED").set_number(1000);
       }},
      {"two values of an enumeration swapped",
       [](FileDescriptorSet& files) {
         auto& type = Named(BrokerFile(files).mutable_enum_type(), "LossReason");
         type.mutable_value(1)->mutable_name()->swap(*type.mutable_value(2)->mutable_name());
       }},
      {"an enumeration removed",
       [](FileDescriptorSet& files) { Remove(BrokerFile(files).mutable_enum_type(), "LossReason"); }},
      {"a service removed",
       [](FileDescriptorSet& files) { Remove(BrokerFile(files).mutable_service(), "Broker"); }},
      {"a method removed",
       [](FileDescriptorSet& files) {
         Remove(Named(BrokerFile(files).mutable_service(), "Broker").mutable_method(), "Heartbeat");
       }},
      {"a method with another request",
       [](FileDescriptorSet& files) {
         auto& service = Named(BrokerFile(files).mutable_service(), "Broker");
         Named(service.mutable_method(), "Heartbeat").set_input_type(".pylabhub.v1.WatchRequest");
       }},
      {"a stream that is none any more",
       [](FileDescriptorSet& files) {
         auto& service = Named(BrokerFile(files).mutable_service(), "Broker");
         Named(service.mutable_method(), "Watch").set_server_streaming(false);
       }},
      {"another package", [](FileDescriptorSet& files) { BrokerFile(files).set_package("pylabhub.v2"); }},
  };
  for (const auto& [what, apply] : breaks) {
    FileDescriptorSet after = FrozenDescriptors();
    apply(after);
    EXPECT_FALSE(BreakingChanges(FrozenDescriptors(), after, kPackage).empty()) << what;
  }
}

// Each field, value and method in turn, so that none is overlooked.
TEST(FrozenTest, TheLossOfAnyFieldOrValueIsFound) {
  const FileDescriptorSet frozen = FrozenDescriptors();
  int count = 0;
  for (int i = 0; i < frozen.file_size(); ++i) {
    if (frozen.file(i).package() != kPackage) continue;
    for (int j = 0; j < frozen.file(i).message_type_size(); ++j) {
      for (int k = 0; k < frozen.file(i).message_type(j).field_size(); ++k, ++count) {
        FileDescriptorSet after = frozen;
        after.mutable_file(i)->mutable_message_type(j)->mutable_field()->DeleteSubrange(k, 1);
        EXPECT_EQ(BreakingChanges(frozen, after, kPackage).size(), 1u);
      }
    }
    for (int j = 0; j < frozen.file(i).enum_type_size(); ++j) {
      for (int k = 0; k < frozen.file(i).enum_type(j).value_size(); ++k, ++count) {
        FileDescriptorSet after = frozen;
        after.mutable_file(i)->mutable_enum_type(j)->mutable_value()->DeleteSubrange(k, 1);
        EXPECT_EQ(BreakingChanges(frozen, after, kPackage).size(), 1u);
      }
    }
  }
  EXPECT_GT(count, 250);
}

}  // namespace
}  // namespace pylabhub::testing
