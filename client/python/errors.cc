#include "client/python/errors.h"

#include <pybind11/pybind11.h>

#include "client/error_reason.h"

namespace pylabhub::python {
namespace {

namespace py = pybind11;

// Keys of ErrorInfo.metadata that proto/pylabhub/v1/errors.proto lists.
constexpr const char* kMetadataKeys[] = {"action",
                                         "actual_schema_hash",
                                         "actual_schema_version",
                                         "channel",
                                         "consumer_id",
                                         "difference",
                                         "epoch",
                                         "expected_schema_hash",
                                         "holder",
                                         "host",
                                         "identity",
                                         "limit",
                                         "method",
                                         "max_protocol_version",
                                         "min_protocol_version",
                                         "pid",
                                         "resource_group",
                                         "stated_epoch",
                                         "value"};

[[noreturn]] void RaiseInstance(const py::object& exception) {
  PyErr_SetObject(py::type::handle_of(exception).ptr(), exception.ptr());
  throw py::error_already_set();
}

py::object Module() { return py::module_::import("pylabhub.errors"); }

}  // namespace

void Raise(const absl::Status& status) {
  py::dict metadata;
  for (const char* key : kMetadataKeys) {
    const std::string value = ReasonMetadataOf(status, key);
    if (!value.empty()) metadata[key] = value;
  }
  const std::string code = absl::StatusCodeToString(status.code());
  const std::string message(status.message().data(), status.message().size());
  RaiseInstance(Module().attr("from_status")(code, ReasonOf(status), message, metadata));
}

void Raise(shm::SlotResult result, const std::string& channel) {
  const absl::string_view name = NameOf(result);
  RaiseInstance(Module().attr("from_slot_result")(std::string(name.data(), name.size()), channel));
}

void Raise(const char* exception, const std::string& message) {
  RaiseInstance(Module().attr(exception)(message));
}

}  // namespace pylabhub::python
