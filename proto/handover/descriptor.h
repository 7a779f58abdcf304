// A file descriptor that is closed when its owner ends.
#ifndef PYLABHUB_PROTO_HANDOVER_DESCRIPTOR_H_
#define PYLABHUB_PROTO_HANDOVER_DESCRIPTOR_H_

#include <fcntl.h>
#include <unistd.h>

#include <utility>

namespace pylabhub::handover {

class Descriptor {
 public:
  // -1: none.
  explicit Descriptor(int number = -1) : number_(number) {}
  ~Descriptor() { Close(); }
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    if (this == &other) return *this;
    Close();
    number_ = std::exchange(other.number_, -1);
    return *this;
  }

  int get() const { return number_; }
  bool is_open() const { return number_ >= 0; }

  // One of its own for the same; none if the process has no room for it.
  Descriptor Duplicate() const { return Descriptor(fcntl(number_, F_DUPFD_CLOEXEC, 0)); }

  void Close() {
    if (number_ >= 0) close(number_);
    number_ = -1;
  }

  // The caller closes it.
  int Release() { return std::exchange(number_, -1); }

 private:
  int number_;
};

}  // namespace pylabhub::handover

#endif  // PYLABHUB_PROTO_HANDOVER_DESCRIPTOR_H_
