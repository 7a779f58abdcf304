// The arrays that show the slots of one handle, one slot at a time, and what becomes of them when it ends.
//
//   A slot for reading: what is still referred to when the slot goes back keeps its bytes, as a private copy.
//   A slot for writing: the array that was handed out becomes empty and read-only; what was taken from it and is still
//                       referred to (a view, a record, a memoryview) becomes private, so that writing to it does nothing to
//                       what was committed.
//
// Small slots are copied, large ones are looked at where they lie.
//
// How references are counted: arrays that are handed out ("shown") have a base array over the slot's window as their base, and
// numpy gives what is derived from a shown array that same base. So the base's references tell of derived arrays. Records
// and buffers hold the shown array itself.
//
// Thread safety: the GIL is held in every call.
#ifndef PYLABHUB_CLIENT_PYTHON_SLOT_ARRAYS_H_
#define PYLABHUB_CLIENT_PYTHON_SLOT_ARRAYS_H_

#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>

#include "client/python/record_type.h"
#include "client/python/window.h"
#include "shm/segment_id.h"

namespace pylabhub::python {

// Slots of at most so many bytes are copied: that costs less than to look after them.
inline constexpr size_t kLargestCopiedSlotBytes = 4'096;

// The windows over the slots of one segment, each with its base array.
class Windows {
 public:
  struct Pane {
    Window* window = nullptr;  // the base array's
    pybind11::object base;
  };

  // The window over the slot at `memory`; null if the system gives none. Windows of another segment are forgotten first.
  const Pane* Over(const shm::SegmentId& segment, const std::byte* memory, size_t bytes);
  // Forgets it; it lives on as long as arrays look through it.
  void Drop(const std::byte* memory) { panes_.erase(memory); }

 private:
  shm::SegmentId segment_ = {};
  std::unordered_map<const std::byte*, Pane> panes_;
};

// For a consumer.
class ReadArrays {
 public:
  explicit ReadArrays(RecordType& type) : type_(type) {}

  // The array of the slot, whose memory has room for `slot_bytes`. Made by the first call.
  const pybind11::object& Show(const shm::SegmentId& segment, std::span<const std::byte> payload,
                               size_t slot_bytes);
  // The slot is about to go back. std::bad_alloc: there is no memory for a copy that must be made.
  void End();

  // Whether somebody beside this object refers to memory of the slot.
  bool IsInUse() const;

  // How often End had to copy a slot because an array was still referred to.
  size_t detached_slots() const { return detached_slots_; }

 private:
  void Detach();

  RecordType& type_;
  Windows windows_;
  pybind11::object shown_;
  // Of a slot that is looked at in place.
  Window* window_ = nullptr;
  pybind11::object base_;
  std::span<const std::byte> payload_;
  size_t detached_slots_ = 0;
};

// For a producer.
class WriteArrays {
 public:
  explicit WriteArrays(RecordType& type) : type_(type) {}

  // The array of the first `bytes` bytes of the slot, whose payload is `payload`. Made by the first call.
  const pybind11::object& Show(const shm::SegmentId& segment, std::span<std::byte> payload, size_t bytes);
  // The slot is about to be committed, with its first `bytes` bytes, or to be aborted, with none. Does nothing if it was not
  // shown. std::bad_alloc: as in ReadArrays.
  void End(size_t bytes);

  size_t detached_slots() const { return detached_slots_; }

 private:
  void Detach();

  RecordType& type_;
  Windows windows_;
  pybind11::object draft_;  // the base array of small slots, which are written here and copied
  pybind11::object shown_;
  pybind11::object base_;
  std::span<std::byte> payload_;
  Window* window_ = nullptr;  // none: base_ is the draft
  size_t detached_slots_ = 0;
};

}  // namespace pylabhub::python

#endif  // PYLABHUB_CLIENT_PYTHON_SLOT_ARRAYS_H_
