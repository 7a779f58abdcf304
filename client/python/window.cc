#include "client/python/window.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <utility>

namespace pylabhub::python {

std::optional<Window> Window::Over(const std::byte* memory, size_t bytes) {
  static const size_t page_size = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t offset = reinterpret_cast<uintptr_t>(memory) % page_size;
  const size_t page_bytes = (offset + bytes + page_size - 1) / page_size * page_size;
  // An old size of 0 asks for a second mapping of shared pages, and leaves the first.
  void* const pages = mremap(const_cast<std::byte*>(memory) - offset, 0, page_bytes, MREMAP_MAYMOVE);
  if (pages == MAP_FAILED) return std::nullopt;
  // A child of fork() has the arrays, so it must have what they look at: the channel's own mappings stay with the parent.
  madvise(pages, page_bytes, MADV_DOFORK);
  return Window(static_cast<std::byte*>(pages), page_bytes, offset, bytes);
}

Window::Window(Window&& other) noexcept
    : pages_(std::exchange(other.pages_, nullptr)),
      page_bytes_(other.page_bytes_),
      offset_(other.offset_),
      bytes_(other.bytes_) {}

Window::~Window() {
  if (pages_ != nullptr) munmap(pages_, page_bytes_);
}

bool Window::Detach(size_t bytes) {
  void* const copy =
      mmap(nullptr, page_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (copy == MAP_FAILED) return false;
  std::memcpy(static_cast<std::byte*>(copy) + offset_, data(), bytes);
  if (mremap(copy, page_bytes_, page_bytes_, MREMAP_MAYMOVE | MREMAP_FIXED, pages_) == MAP_FAILED) {
    munmap(copy, page_bytes_);
    return false;
  }
  return true;
}

}  // namespace pylabhub::python
