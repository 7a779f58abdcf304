#include "client/python/record_type.h"

#define NPY_NO_DEPRECATED_API NPY_1_7_API_VERSION
#include <numpy/arrayobject.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>

#include "client/python/errors.h"

namespace pylabhub::python {
namespace {

namespace py = pybind11;

PyArrayObject* ArrayOf(const py::object& array) { return reinterpret_cast<PyArrayObject*>(array.ptr()); }
PyArray_Descr* DescrOf(const py::object& dtype) { return reinterpret_cast<PyArray_Descr*>(dtype.ptr()); }

py::object StealOrRaise(PyObject* object) {
  if (object == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(object);
}

// A reference for a function that steals one.
PyArray_Descr* Given(const py::object& dtype) {
  return reinterpret_cast<PyArray_Descr*>(py::object(dtype).release().ptr());
}

bool HasFields(const py::object& dtype) { return PyDataType_HASFIELDS(DescrOf(dtype)); }

py::object OwnDtype(const py::object& dtype) {
  if (!HasFields(dtype)) return dtype;
  return StealOrRaise(reinterpret_cast<PyObject*>(PyArray_DescrNew(DescrOf(dtype))));
}

// The dtype that an array of `dtype` says it has: a sub-array's shape becomes the array's.
PyArray_Descr* ElementOf(const py::object& dtype) {
  PyArray_Descr* const descr = DescrOf(dtype);
  return descr->subarray == nullptr ? descr : descr->subarray->base;
}

std::span<const std::byte> Bytes(PyArrayObject* array) {
  return {static_cast<const std::byte*>(PyArray_DATA(array)), static_cast<size_t>(PyArray_NBYTES(array))};
}

std::string Text(const py::object& object) { return py::str(object).cast<std::string>(); }

[[noreturn]] void RaiseMismatch(const py::object& array, const py::object& dtype) {
  const auto theirs =
      py::reinterpret_borrow<py::object>(reinterpret_cast<PyObject*>(PyArray_DESCR(ArrayOf(array))));
  Raise("SchemaMismatch",
        "an array of " + Text(theirs) + " is no record of this channel, whose dtype is " + Text(dtype));
}

py::object AnyArray(const py::object& source, const py::object& dtype) {
  return StealOrRaise(
      PyArray_FromAny(source.ptr(), Given(dtype), 0, 0, NPY_ARRAY_CARRAY_RO | NPY_ARRAY_NOTSWAPPED, nullptr));
}

}  // namespace

void LoadNumpy() {
  if (_import_array() < 0) throw py::error_already_set();
}

py::object ByteArray(size_t bytes) {
  auto count = static_cast<npy_intp>(bytes);
  return StealOrRaise(PyArray_ZEROS(1, &count, NPY_UINT8, 0));
}

py::object ByteArray(std::byte* data, size_t bytes, const py::object& base) {
  auto count = static_cast<npy_intp>(bytes);
  py::object array = StealOrRaise(PyArray_NewFromDescr(&PyArray_Type, PyArray_DescrFromType(NPY_UINT8), 1,
                                                       &count, nullptr, data, 0, nullptr));
  PyArray_SetBaseObject(ArrayOf(array), py::object(base).release().ptr());
  return array;
}

bool IsReferred(const py::object& array, int expected_references) {
  return Py_REFCNT(array.ptr()) > expected_references ||
         reinterpret_cast<PyArrayObject_fields*>(array.ptr())->_buffer_info != nullptr;
}

std::byte* DataOf(const py::object& array) { return static_cast<std::byte*>(PyArray_DATA(ArrayOf(array))); }

void MakeReadOnly(const py::object& array) { PyArray_CLEARFLAGS(ArrayOf(array), NPY_ARRAY_WRITEABLE); }

void GiveOwnMemory(const py::object& array, std::span<const std::byte> bytes) {
  auto count = static_cast<npy_intp>(bytes.size());
  py::object copy = StealOrRaise(PyArray_SimpleNew(1, &count, NPY_UINT8));
  std::memcpy(PyArray_DATA(ArrayOf(copy)), bytes.data(), bytes.size());
  auto* const fields = reinterpret_cast<PyArrayObject_fields*>(array.ptr());
  fields->data = static_cast<char*>(PyArray_DATA(ArrayOf(copy)));
  PyObject* const window = std::exchange(fields->base, copy.release().ptr());
  Py_DECREF(window);
}

void Invalidate(const py::object& array) {
  alignas(64) static std::byte nothing[64];
  auto* const fields = reinterpret_cast<PyArrayObject_fields*>(array.ptr());
  fields->data = reinterpret_cast<char*>(nothing);
  fields->dimensions[0] = 0;
  PyArray_CLEARFLAGS(ArrayOf(array), NPY_ARRAY_WRITEABLE);
  Py_CLEAR(fields->base);
}

RecordType::RecordType(const py::object& dtype)
    : dtype_(OwnDtype(dtype)),
      record_bytes_(static_cast<size_t>(DescrOf(dtype)->elsize)),
      known_dtype_(dtype) {}

py::object RecordType::View(std::byte* data, size_t bytes, const py::object& base, bool writable) {
  // Somebody has kept an earlier array's dtype. It is no longer ours alone, so that its references would tell nothing.
  if (HasFields(dtype_) && Py_REFCNT(dtype_.ptr()) > 1) dtype_ = OwnDtype(dtype_);
  auto records = static_cast<npy_intp>(RecordsIn(bytes));
  py::object array = StealOrRaise(PyArray_NewFromDescr(&PyArray_Type, Given(dtype_), 1, &records, nullptr,
                                                       data, writable ? NPY_ARRAY_WRITEABLE : 0, nullptr));
  if (PyArray_SetBaseObject(ArrayOf(array), py::object(base).release().ptr()) < 0)
    throw py::error_already_set();
  return array;
}

py::object RecordType::Copy(std::span<const std::byte> bytes) {
  py::object array = Empty(RecordsIn(bytes.size()));
  if (!bytes.empty()) std::memcpy(PyArray_DATA(ArrayOf(array)), bytes.data(), Bytes(ArrayOf(array)).size());
  return array;
}

py::object RecordType::Empty(size_t records) {
  auto count = static_cast<npy_intp>(records);
  return StealOrRaise(
      PyArray_NewFromDescr(&PyArray_Type, Given(dtype_), 1, &count, nullptr, nullptr, 0, nullptr));
}

bool RecordType::IsReferredBeside() const { return HasFields(dtype_) && Py_REFCNT(dtype_.ptr()) > 2; }

std::span<const std::byte> RecordType::BytesOf(const py::object& source, py::object& keep) {
  keep = source;
  if (PyArray_CheckScalar(source.ptr())) keep = StealOrRaise(PyArray_FromScalar(source.ptr(), nullptr));
  if (PyArray_Check(keep.ptr())) {
    if (!Means(keep)) {
      if (HasFields(dtype_)) RaiseMismatch(keep, dtype_);
      keep =
          StealOrRaise(PyObject_CallMethod(keep.ptr(), "astype", "Oss", ElementOf(dtype_), "C", "same_kind"));
    }
    if (!PyArray_IS_C_CONTIGUOUS(ArrayOf(keep))) {
      keep = StealOrRaise(reinterpret_cast<PyObject*>(PyArray_GETCONTIGUOUS(ArrayOf(keep))));
    }
  } else if (PyObject_CheckBuffer(source.ptr())) {
    keep = StealOrRaise(PyMemoryView_FromObject(source.ptr()));
    const Py_buffer& buffer = *PyMemoryView_GET_BUFFER(keep.ptr());
    if (!PyBuffer_IsContiguous(&buffer, 'C')) {
      Raise("InvalidArgument", "the buffer is not contiguous; copy it first, for instance by bytes()");
    }
    return Whole({static_cast<const std::byte*>(buffer.buf), static_cast<size_t>(buffer.len)});
  } else {
    keep =
        AnyArray(source, py::reinterpret_borrow<py::object>(reinterpret_cast<PyObject*>(ElementOf(dtype_))));
  }
  return Whole(Bytes(ArrayOf(keep)));
}

bool RecordType::Means(const py::object& array) {
  PyArray_Descr* const theirs = PyArray_DESCR(ArrayOf(array));
  PyArray_Descr* const ours = ElementOf(dtype_);
  if (theirs == ours || theirs == DescrOf(known_dtype_)) return true;
  if (!PyArray_EquivTypes(theirs, ours)) return false;
  known_dtype_ = py::reinterpret_borrow<py::object>(reinterpret_cast<PyObject*>(theirs));
  return true;
}

std::span<std::byte> RecordType::RoomIn(const py::object& out) {
  if (!PyArray_Check(out.ptr())) Raise("InvalidArgument", "`out` is no numpy array");
  if (!Means(out)) RaiseMismatch(out, dtype_);
  PyArrayObject* const array = ArrayOf(out);
  if (!PyArray_ISWRITEABLE(array)) Raise("InvalidArgument", "`out` is read-only");
  if (!PyArray_IS_C_CONTIGUOUS(array)) Raise("InvalidArgument", "`out` is not contiguous");
  return {static_cast<std::byte*>(PyArray_DATA(array)), static_cast<size_t>(PyArray_NBYTES(array))};
}

py::object RecordType::FirstOf(const py::object& array, size_t records) {
  const auto bytes = static_cast<Py_ssize_t>(records * record_bytes_);
  if (bytes == PyArray_NBYTES(ArrayOf(array))) return array;
  const Py_ssize_t row_bytes = PyArray_NBYTES(ArrayOf(array)) / PyArray_DIM(ArrayOf(array), 0);
  if (bytes % row_bytes == 0) return StealOrRaise(PySequence_GetSlice(array.ptr(), 0, bytes / row_bytes));
  const py::object flat = StealOrRaise(PyArray_Ravel(ArrayOf(array), NPY_CORDER));
  return StealOrRaise(PySequence_GetSlice(flat.ptr(), 0, bytes / PyArray_ITEMSIZE(ArrayOf(array))));
}

std::span<const std::byte> RecordType::Whole(std::span<const std::byte> bytes) const {
  if (bytes.size() % record_bytes_ != 0) {
    Raise("InvalidArgument", std::to_string(bytes.size()) + " bytes are no whole number of records of " +
                                 std::to_string(record_bytes_) + " bytes");
  }
  return bytes;
}

}  // namespace pylabhub::python
