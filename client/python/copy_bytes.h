// Copying a slot's bytes on behalf of a handle.
//
// Thread safety: the GIL is held in every call, and given up during copies that take long.
#ifndef PYLABHUB_CLIENT_PYTHON_COPY_BYTES_H_
#define PYLABHUB_CLIENT_PYTHON_COPY_BYTES_H_

#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstring>
#include <span>

#include "client/python/waiting.h"

namespace pylabhub::python {

// Copies of more than this let other Python threads run meanwhile.
inline constexpr size_t kQuickCopyBytes = size_t{1} << 20;

// Nobody else may use the handle meanwhile. `to` has room for all of `from`.
inline void CopyBytes(Occupancy& occupancy, std::span<std::byte> to, std::span<const std::byte> from) {
  if (from.empty()) return;
  if (from.size() <= kQuickCopyBytes) {
    std::memcpy(to.data(), from.data(), from.size());
    return;
  }
  const Waiting copying(occupancy);
  const pybind11::gil_scoped_release released;
  std::memcpy(to.data(), from.data(), from.size());
}

}  // namespace pylabhub::python

#endif  // PYLABHUB_CLIENT_PYTHON_COPY_BYTES_H_
