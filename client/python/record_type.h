// The numpy dtype of a channel's records, and arrays of it.
//
// Thread safety: the GIL is held in every call.
#ifndef PYLABHUB_CLIENT_PYTHON_RECORD_TYPE_H_
#define PYLABHUB_CLIENT_PYTHON_RECORD_TYPE_H_

#include <pybind11/pybind11.h>

#include <cstddef>
#include <span>

namespace pylabhub::python {

// Loads numpy; once, when the module is imported.
void LoadNumpy();

// An array of `bytes` uint8 of its own, all zero.
pybind11::object ByteArray(size_t bytes);
// An array of `bytes` uint8 at `data`, which `base` keeps alive.
pybind11::object ByteArray(std::byte* data, size_t bytes, const pybind11::object& base);

// Whether there are more references to `array` than expected, or somebody has asked it for a buffer.
bool IsReferred(const pybind11::object& array, int expected_references);

std::byte* DataOf(const pybind11::object& array);

void MakeReadOnly(const pybind11::object& array);

// Has `array`, which nothing is derived from, look at a copy of `bytes`.
void GiveOwnMemory(const pybind11::object& array, std::span<const std::byte> bytes);

// Makes `array` empty and read-only, and lets go of its base.
void Invalidate(const pybind11::object& array);

class RecordType {
 public:
  // `dtype` is a numpy.dtype of fixed size, whose bytes mean what they say.
  explicit RecordType(const pybind11::object& dtype);

  size_t record_bytes() const { return record_bytes_; }
  size_t RecordsIn(size_t bytes) const { return bytes / record_bytes_; }

  // An array of whole records in memory that `base`, an array, keeps alive.
  pybind11::object View(std::byte* data, size_t bytes, const pybind11::object& base, bool writable);
  // An array of its own, with a copy of the whole records in `bytes`.
  pybind11::object Copy(std::span<const std::byte> bytes);
  // An array of its own with room for `records`.
  pybind11::object Empty(size_t records);

  // Whether something beside the one array that is being shown refers to the dtype, as a record taken from it does.
  bool IsReferredBeside() const;

  // The bytes of `source` as they go into a slot: an array of this dtype (or one that numpy casts to it in kind), or an object
  // with a buffer of whole records. `keep` holds them.
  std::span<const std::byte> BytesOf(const pybind11::object& source, pybind11::object& keep);

  // The memory of `out`, which must be a writable, contiguous array of this dtype; raises what is wrong with it otherwise.
  std::span<std::byte> RoomIn(const pybind11::object& out);
  // The first `records` records of such an array: itself, if it has no more; else its first rows, or, where those are no whole
  // number, its first elements.
  pybind11::object FirstOf(const pybind11::object& array, size_t records);

 private:
  std::span<const std::byte> Whole(std::span<const std::byte> bytes) const;
  // Whether an array with that dtype holds records of this one.
  bool Means(const pybind11::object& array);

  pybind11::object dtype_;  // no one else's, so that its references tell
  size_t record_bytes_;
  pybind11::object known_dtype_;  // the last one that was found to be the same
};

}  // namespace pylabhub::python

#endif  // PYLABHUB_CLIENT_PYTHON_RECORD_TYPE_H_
