// Raises pylabhub.errors: what the library answers, as Python's exceptions.
//
// Thread safety: the GIL is held in every call.
// Errors:        these functions end with a Python exception that is set, in pybind11's way (error_already_set), which its
//                bindings pass on to Python. Nothing of it leaves this folder.
#ifndef PYLABHUB_CLIENT_PYTHON_ERRORS_H_
#define PYLABHUB_CLIENT_PYTHON_ERRORS_H_

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "shm/slot_result.h"

namespace pylabhub::python {

// The exception for `status`, which is not OK: by the broker's reason where there is one, else by its code.
[[noreturn]] void Raise(const absl::Status& status);

// The exception for `result`, which is not kOk; `channel` is named in its message.
[[noreturn]] void Raise(shm::SlotResult result, const std::string& channel);

// The exception of that name in pylabhub.errors.
[[noreturn]] void Raise(const char* exception, const std::string& message);

inline void OrRaise(const absl::Status& status) {
  if (!status.ok()) Raise(status);
}

template <typename T>
T OrRaise(absl::StatusOr<T> value) {
  if (!value.ok()) Raise(value.status());
  return *std::move(value);
}

}  // namespace pylabhub::python

#endif  // PYLABHUB_CLIENT_PYTHON_ERRORS_H_
