#include "tests/proto/descriptor_changes.h"

#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace pylabhub::testing {
namespace {

using google::protobuf::DescriptorProto;
using google::protobuf::EnumDescriptorProto;
using google::protobuf::FieldDescriptorProto;
using google::protobuf::FileDescriptorSet;
using google::protobuf::ServiceDescriptorProto;

// Everything that counts, by where it is, as text: "Register.request" and the like.
using Elements = std::map<std::string, std::string>;

void AddEnum(const std::string& scope, const EnumDescriptorProto& type, Elements& elements) {
  const std::string name = absl::StrCat(scope, ".", type.name());
  elements[name] = "enum";
  for (const auto& value : type.value()) elements[absl::StrCat(name, " = ", value.number())] = value.name();
}

void AddMessage(const std::string& scope, const DescriptorProto& type, Elements& elements) {
  const std::string name = absl::StrCat(scope, ".", type.name());
  elements[name] = "message";
  for (const FieldDescriptorProto& field : type.field()) {
    const std::string oneof =
        field.has_oneof_index() ? type.oneof_decl(field.oneof_index()).name() : std::string("none");
    elements[absl::StrCat(name, " = ", field.number())] = absl::StrCat(
        field.name(), " (", field.json_name(), "): ", FieldDescriptorProto::Type_Name(field.type()), " ",
        field.type_name(), ", ", FieldDescriptorProto::Label_Name(field.label()), ", oneof ", oneof);
  }
  for (const EnumDescriptorProto& nested : type.enum_type()) AddEnum(name, nested, elements);
  for (const DescriptorProto& nested : type.nested_type()) AddMessage(name, nested, elements);
}

void AddService(const std::string& scope, const ServiceDescriptorProto& service, Elements& elements) {
  const std::string name = absl::StrCat(scope, ".", service.name());
  elements[name] = "service";
  for (const auto& method : service.method()) {
    elements[absl::StrCat(name, "/", method.name())] =
        absl::StrCat(method.client_streaming() ? "stream " : "", method.input_type(), " to ",
                     method.server_streaming() ? "stream " : "", method.output_type());
  }
}

Elements ElementsOf(const FileDescriptorSet& files, const std::string& package) {
  Elements elements;
  for (const auto& file : files.file()) {
    if (file.package() != package && !absl::StartsWith(file.package(), package + ".")) continue;
    for (const DescriptorProto& type : file.message_type()) AddMessage(file.package(), type, elements);
    for (const EnumDescriptorProto& type : file.enum_type()) AddEnum(file.package(), type, elements);
    for (const auto& service : file.service()) AddService(file.package(), service, elements);
  }
  return elements;
}

}  // namespace

std::vector<std::string> BreakingChanges(const FileDescriptorSet& before, const FileDescriptorSet& after,
                                         const std::string& package) {
  const Elements now = ElementsOf(after, package);
  std::vector<std::string> changes;
  for (const auto& [place, element] : ElementsOf(before, package)) {
    const auto found = now.find(place);
    if (found == now.end()) {
      changes.push_back(absl::StrCat(place, " was ", element, ", is gone"));
    } else if (found->second != element) {
      changes.push_back(absl::StrCat(place, " was ", element, ", is ", found->second));
    }
  }
  return changes;
}

}  // namespace pylabhub::testing
