// HDF5's C library with owners and absl::Status.
//
// Thread safety: none. Debian's HDF5 is built without thread safety, so one thread of a process at a time may be in
//                client/recording's files (recording_writer.h, recorded_file.h), and in the library by other ways.
// Errors:        the library's own printing is turned off; its innermost message ends up in the Status.
#ifndef PYLABHUB_CLIENT_RECORDING_HDF5_H_
#define PYLABHUB_CLIENT_RECORDING_HDF5_H_

#include <hdf5/serial/hdf5.h>

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace pylabhub::recording {

// Owns an identifier of any kind.
class Hid {
 public:
  Hid() = default;
  explicit Hid(hid_t id) : id_(id) {}
  Hid(Hid&& other) noexcept : id_(std::exchange(other.id_, H5I_INVALID_HID)) {}
  Hid& operator=(Hid&& other) noexcept {
    if (this == &other) return *this;
    Close();
    id_ = std::exchange(other.id_, H5I_INVALID_HID);
    return *this;
  }
  ~Hid() { Close(); }

  hid_t get() const { return id_; }
  explicit operator bool() const { return id_ >= 0; }

  // Negative if that failed: of a file, something may not have been written. The identifier is gone all the same.
  herr_t Close() { return id_ < 0 ? 0 : H5Idec_ref(std::exchange(id_, H5I_INVALID_HID)); }

  // Leaves it open for as long as the process lives.
  void Abandon() { id_ = H5I_INVALID_HID; }

 private:
  hid_t id_ = H5I_INVALID_HID;
};

// Call before anything else of the library.
void SilenceHdf5();

// "DOING: what the library says": kResourceExhausted if the disk is full, kPermissionDenied, kNotFound or kAlreadyExists if
// the system said so, else kUnavailable.
absl::Status Hdf5Error(absl::string_view doing);

// `id`, owned; or why there is none.
absl::StatusOr<Hid> Own(hid_t id, absl::string_view doing);
absl::Status Check(herr_t result, absl::string_view doing);

// Attributes of a file, group or dataset. Text is UTF-8 of a fixed size.
absl::Status WriteAttribute(const Hid& object, const std::string& name, absl::string_view text);
absl::Status WriteAttribute(const Hid& object, const std::string& name, uint64_t number);
absl::StatusOr<std::string> ReadText(const Hid& object, const std::string& name);
absl::StatusOr<uint64_t> ReadNumber(const Hid& object, const std::string& name);

// A type for text of so many bytes, padded with zeros.
absl::StatusOr<Hid> TextType(size_t bytes);

}  // namespace pylabhub::recording

#endif  // PYLABHUB_CLIENT_RECORDING_HDF5_H_
