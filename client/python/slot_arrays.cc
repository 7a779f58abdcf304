#include "client/python/slot_arrays.h"

#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <utility>

namespace pylabhub::python {
namespace {

namespace py = pybind11;

// Beside a shown array: the holder's own reference, and that of the map of panes (or the draft's).
constexpr int kBaseReferences = 3;

}  // namespace

const Windows::Pane* Windows::Over(const shm::SegmentId& segment, const std::byte* memory, size_t bytes) {
  if (segment != segment_) {
    panes_.clear();
    segment_ = segment;
  }
  if (const auto found = panes_.find(memory); found != panes_.end()) return &found->second;
  std::optional<Window> window = Window::Over(memory, bytes);
  if (!window.has_value()) return nullptr;
  auto owned = std::make_unique<Window>(*std::move(window));
  Window* const kept = owned.get();
  const py::capsule owner(owned.release(), [](void* pointer) { delete static_cast<Window*>(pointer); });
  const auto [place, _] =
      panes_.emplace(memory, Pane{.window = kept, .base = ByteArray(kept->data(), bytes, owner)});
  return &place->second;
}

const py::object& ReadArrays::Show(const shm::SegmentId& segment, std::span<const std::byte> payload,
                                   size_t slot_bytes) {
  if (shown_) return shown_;
  const Windows::Pane* const pane = payload.size() <= kLargestCopiedSlotBytes
                                        ? nullptr
                                        : windows_.Over(segment, payload.data(), slot_bytes);
  if (pane == nullptr) {
    shown_ = type_.Copy(payload);
    MakeReadOnly(shown_);
    return shown_;
  }
  shown_ = type_.View(pane->window->data(), payload.size(), pane->base, false);
  base_ = pane->base;
  window_ = pane->window;
  payload_ = payload;
  return shown_;
}

bool ReadArrays::IsInUse() const {
  return window_ != nullptr && (IsReferred(shown_, 1) || IsReferred(base_, kBaseReferences));
}

void ReadArrays::End() {
  if (IsInUse()) {
    Detach();
    ++detached_slots_;
  }
  window_ = nullptr;
  shown_ = {};
  base_ = {};
}

void ReadArrays::Detach() {
  // One reference to the shown array itself is the caller's name for it: then the array can be given other memory.
  if (!IsReferred(shown_, 2) && !IsReferred(base_, kBaseReferences) && !type_.IsReferredBeside()) {
    GiveOwnMemory(shown_, payload_);
    return;
  }
  if (!window_->Detach(payload_.size())) throw std::bad_alloc();
  windows_.Drop(payload_.data());
}

const py::object& WriteArrays::Show(const shm::SegmentId& segment, std::span<std::byte> payload,
                                    size_t bytes) {
  if (shown_) return shown_;
  const Windows::Pane* const pane = payload.size() <= kLargestCopiedSlotBytes
                                        ? nullptr
                                        : windows_.Over(segment, payload.data(), payload.size());
  if (pane == nullptr) {
    if (!draft_) draft_ = ByteArray(payload.size());
    base_ = draft_;
    window_ = nullptr;
  } else {
    base_ = pane->base;
    window_ = pane->window;
  }
  payload_ = payload;
  std::byte* const data = window_ == nullptr ? DataOf(base_) : window_->data();
  shown_ = type_.View(data, bytes, base_, true);
  return shown_;
}

void WriteArrays::End(size_t bytes) {
  if (!shown_) return;
  if (window_ == nullptr && bytes > 0) std::memcpy(payload_.data(), DataOf(base_), bytes);
  // One reference to the shown array itself is the caller's name for it.
  if (!IsReferred(shown_, 2) && !IsReferred(base_, kBaseReferences) && !type_.IsReferredBeside()) {
    Invalidate(shown_);
  } else {
    Detach();
  }
  shown_ = {};
  base_ = {};
}

void WriteArrays::Detach() {
  if (window_ == nullptr) {
    draft_ = {};
  } else {
    if (!window_->Detach(payload_.size())) throw std::bad_alloc();
    windows_.Drop(payload_.data());
  }
  MakeReadOnly(shown_);
  ++detached_slots_;
}

}  // namespace pylabhub::python
