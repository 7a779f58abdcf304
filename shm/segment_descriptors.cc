#include "shm/segment_descriptors.h"

#include <fcntl.h>

#include <cerrno>
#include <utility>

#include "shm/os/descriptor_passing.h"

namespace pylabhub::shm {
namespace {

absl::StatusOr<UniqueFd> Copy(const UniqueFd& fd) {
  UniqueFd copy = UniqueFd::Make([&] { return fcntl(fd.get(), F_DUPFD_CLOEXEC, 0); });
  if (!copy.valid()) return absl::ErrnoToStatus(errno, "cannot duplicate a segment's descriptor");
  return copy;
}

}  // namespace

absl::StatusOr<SegmentDescriptors> SegmentDescriptors::Duplicate() const {
  absl::StatusOr<UniqueFd> data_copy = Copy(data);
  if (!data_copy.ok()) return data_copy.status();
  absl::StatusOr<UniqueFd> control_copy = Copy(control);
  if (!control_copy.ok()) return control_copy.status();
  return SegmentDescriptors{*std::move(data_copy), *std::move(control_copy)};
}

absl::Status SendSegment(int socket, const SegmentDescriptors& descriptors, absl::string_view note,
                         absl::Duration timeout) {
  const int both[] = {descriptors.data.get(), descriptors.control.get()};
  return SendParcel(socket, both, note, timeout);
}

absl::StatusOr<ReceivedSegment> ReceiveSegment(int socket, absl::Duration timeout) {
  absl::StatusOr<Parcel> parcel = ReceiveParcel(socket, /*descriptor_count=*/2, timeout);
  if (!parcel.ok()) return parcel.status();
  return ReceivedSegment{{std::move(parcel->descriptors[0]), std::move(parcel->descriptors[1])},
                         std::move(parcel->note)};
}

}  // namespace pylabhub::shm
