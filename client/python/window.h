// A second mapping of the memory of one slot, for arrays to look through. When a slot goes back to its channel and an array
// still looks at it, the window is detached: it shows a private copy of the bytes from then on, at the same address. So no
// pointer into it ever dangles, and none sees what a later slot holds.
//
// Thread safety: thread-compatible.
// Time:          Over is a system call, and the first touch of each page a fault; Detach is three system calls and a copy.
#ifndef PYLABHUB_CLIENT_PYTHON_WINDOW_H_
#define PYLABHUB_CLIENT_PYTHON_WINDOW_H_

#include <cstddef>
#include <optional>

namespace pylabhub::python {

class Window {
 public:
  // Over `bytes` bytes of a shared mapping, which may be of any alignment, with the same protection. None if the system does
  // not give one: the memory is not shared, or the process has too many mappings.
  static std::optional<Window> Over(const std::byte* memory, size_t bytes);

  Window(Window&& other) noexcept;
  Window& operator=(Window&&) = delete;
  ~Window();

  // Where `memory`'s first byte is seen.
  std::byte* data() const { return pages_ + offset_; }
  size_t bytes() const { return bytes_; }

  // From now on the first `bytes` bytes are a private copy of what is seen now, which may be written to. False, and nothing
  // has changed, if there is no memory for it.
  bool Detach(size_t bytes);

 private:
  Window(std::byte* pages, size_t page_bytes, size_t offset, size_t bytes)
      : pages_(pages), page_bytes_(page_bytes), offset_(offset), bytes_(bytes) {}

  std::byte* pages_;
  const size_t page_bytes_;  // whole pages
  const size_t offset_;
  const size_t bytes_;
};

}  // namespace pylabhub::python

#endif  // PYLABHUB_CLIENT_PYTHON_WINDOW_H_
