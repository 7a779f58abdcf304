#include <pybind11/stl.h>

#include <array>
#include <string>
#include <tuple>
#include <vector>

#include "client/python/bindings.h"
#include "client/python/errors.h"
#include "shm/schema.h"

namespace pylabhub::python {
namespace {

namespace py = pybind11;

// (name, type, count, offset_bytes, unit)
using FieldTuple = std::tuple<std::string, std::string, uint32_t, uint32_t, std::string>;

constexpr std::array kTypes = {
    shm::ScalarType::kBool,   shm::ScalarType::kChar,   shm::ScalarType::kInt8,    shm::ScalarType::kInt16,
    shm::ScalarType::kInt32,  shm::ScalarType::kInt64,  shm::ScalarType::kUint8,   shm::ScalarType::kUint16,
    shm::ScalarType::kUint32, shm::ScalarType::kUint64, shm::ScalarType::kFloat32, shm::ScalarType::kFloat64};

std::string TypeName(shm::ScalarType type) {
  const absl::string_view name = NameOf(type);
  return {name.data(), name.size()};
}

shm::ScalarType TypeFrom(const std::string& name) {
  for (const shm::ScalarType type : kTypes) {
    if (TypeName(type) == name) return type;
  }
  Raise("InvalidArgument", "'" + name + "' is no type of a field");
}

std::string Canonical(const std::string& name, uint32_t record_bytes, const std::vector<FieldTuple>& fields) {
  shm::Schema schema{.name = name, .record_bytes = record_bytes, .fields = {}};
  for (const auto& [field, type, count, offset, unit] : fields) {
    schema.fields.push_back(
        {.name = field, .type = TypeFrom(type), .count = count, .offset_bytes = offset, .unit = unit});
  }
  OrRaise(schema.Validate());
  return CanonicalText(schema);
}

py::tuple Parse(const std::string& text) {
  const shm::Schema schema = OrRaise(shm::ParseCanonicalText(text));
  std::vector<FieldTuple> fields;
  fields.reserve(schema.fields.size());
  for (const shm::Field& field : schema.fields) {
    fields.emplace_back(field.name, TypeName(field.type), field.count, field.offset_bytes, field.unit);
  }
  return py::make_tuple(schema.name, schema.record_bytes, fields);
}

}  // namespace

void BindSchema(py::module_& module) {
  module.def("canonical_schema", &Canonical, py::arg("name"), py::arg("record_bytes"), py::arg("fields"),
             "The canonical text of a schema.");
  module.def("parse_schema", &Parse, py::arg("text"), "(name, record_bytes, fields) of a canonical text.");
  module.def(
      "schema_hash",
      [](const std::string& text) { return shm::ToHex(HashOf(OrRaise(shm::ParseCanonicalText(text)))); },
      py::arg("text"), "The SHA-256 of a canonical text, as 64 hexadecimal digits.");
  module.def(
      "opaque_schema", [] { return CanonicalText(shm::Schema::Opaque()); },
      "The canonical text of bytes without a meaning of their own.");
}

}  // namespace pylabhub::python
