#include "shm/segment_descriptors.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "shm/os/deadline.h"
#include "shm/os/descriptor_passing.h"

namespace pylabhub::shm {
namespace {

// More than any channel has.
constexpr uint32_t kMostParts = 1 << 16;

absl::Status Malformed(absl::string_view what) {
  return absl::FailedPreconditionError(absl::StrCat("what came is not a whole segment: ", what));
}

// Receives the parts, all of which are missing as yet.
absl::Status ReceiveParts(int socket, std::vector<UniqueFd>& parts, const Deadline& deadline) {
  for (size_t received = 0; received < parts.size();) {
    const size_t count = std::min(kMaxParcelDescriptors, parts.size() - received);
    absl::StatusOr<Parcel> parcel = ReceiveParcel(socket, count, deadline.left());
    if (!parcel.ok()) return parcel.status();
    for (UniqueFd& part : parcel->descriptors) parts[received++] = std::move(part);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<UniqueFd> DuplicateDescriptor(const UniqueFd& descriptor) {
  UniqueFd copy = UniqueFd::Make([&] { return fcntl(descriptor.get(), F_DUPFD_CLOEXEC, 0); });
  if (!copy.valid()) return absl::ErrnoToStatus(errno, "cannot duplicate a segment's descriptor");
  return copy;
}

absl::StatusOr<ConsumerDescriptors> ConsumerDescriptors::Duplicate() const {
  absl::StatusOr<UniqueFd> data_copy = DuplicateDescriptor(data);
  if (!data_copy.ok()) return data_copy.status();
  absl::StatusOr<UniqueFd> bell_copy = DuplicateDescriptor(bell);
  if (!bell_copy.ok()) return bell_copy.status();
  absl::StatusOr<UniqueFd> part_copy = DuplicateDescriptor(part);
  if (!part_copy.ok()) return part_copy.status();
  return ConsumerDescriptors{*std::move(data_copy), *std::move(bell_copy), *std::move(part_copy)};
}

absl::StatusOr<SegmentDescriptors> SegmentDescriptors::Duplicate() const {
  absl::StatusOr<UniqueFd> data_copy = DuplicateDescriptor(data);
  if (!data_copy.ok()) return data_copy.status();
  absl::StatusOr<UniqueFd> bell_copy = DuplicateDescriptor(bell);
  if (!bell_copy.ok()) return bell_copy.status();
  SegmentDescriptors copies{*std::move(data_copy), *std::move(bell_copy), {}};
  for (const UniqueFd& part : parts) {
    absl::StatusOr<UniqueFd> copy = part.valid() ? DuplicateDescriptor(part) : UniqueFd();
    if (!copy.ok()) return copy.status();
    copies.parts.push_back(*std::move(copy));
  }
  return copies;
}

absl::StatusOr<ConsumerDescriptors> SegmentDescriptors::ForConsumer(size_t part) const {
  if (part >= parts.size() || !parts[part].valid())
    return absl::NotFoundError(absl::StrCat("the segment's part ", part, " is not here"));
  absl::StatusOr<UniqueFd> data_copy = DuplicateDescriptor(data);
  if (!data_copy.ok()) return data_copy.status();
  absl::StatusOr<UniqueFd> bell_copy = DuplicateDescriptor(bell);
  if (!bell_copy.ok()) return bell_copy.status();
  absl::StatusOr<UniqueFd> part_copy = DuplicateDescriptor(parts[part]);
  if (!part_copy.ok()) return part_copy.status();
  return ConsumerDescriptors{*std::move(data_copy), *std::move(bell_copy), *std::move(part_copy)};
}

absl::Status SendSegment(int socket, const ConsumerDescriptors& descriptors, absl::string_view note,
                         absl::Duration timeout) {
  const int all[] = {descriptors.data.get(), descriptors.bell.get(), descriptors.part.get()};
  return SendParcel(socket, all, note, timeout);
}

absl::StatusOr<ReceivedSegment> ReceiveSegment(int socket, absl::Duration timeout) {
  absl::StatusOr<Parcel> parcel = ReceiveParcel(socket, /*descriptor_count=*/3, timeout);
  if (!parcel.ok()) return parcel.status();
  std::vector<UniqueFd>& all = parcel->descriptors;
  return ReceivedSegment{{std::move(all[0]), std::move(all[1]), std::move(all[2])}, std::move(parcel->note)};
}

// The first parcel has data, bell, and how many parts follow before the note.
absl::Status SendWholeSegment(int socket, const SegmentDescriptors& descriptors, absl::string_view note,
                              absl::Duration timeout) {
  const Deadline deadline(timeout);
  std::vector<int> parts;
  for (const UniqueFd& part : descriptors.parts) {
    if (!part.valid()) return absl::InvalidArgumentError("a part of the segment is missing");
    parts.push_back(part.get());
  }
  const auto part_count = static_cast<uint32_t>(parts.size());
  std::string first(sizeof(part_count), '\0');
  std::memcpy(first.data(), &part_count, sizeof(part_count));
  absl::StrAppend(&first, note);
  const int both[] = {descriptors.data.get(), descriptors.bell.get()};
  if (absl::Status status = SendParcel(socket, both, first, timeout); !status.ok()) return status;
  for (std::span<const int> left(parts); !left.empty();) {
    const size_t count = std::min(kMaxParcelDescriptors, left.size());
    absl::Status status = SendParcel(socket, left.first(count), "", deadline.left());
    if (!status.ok()) return status;
    left = left.subspan(count);
  }
  return absl::OkStatus();
}

absl::StatusOr<ReceivedWholeSegment> ReceiveWholeSegment(int socket, absl::Duration timeout) {
  const Deadline deadline(timeout);
  absl::StatusOr<Parcel> first = ReceiveParcel(socket, /*descriptor_count=*/2, timeout);
  if (!first.ok()) return first.status();
  uint32_t part_count = 0;
  if (first->note.size() < sizeof(part_count)) return Malformed("it does not say how many parts it has");
  std::memcpy(&part_count, first->note.data(), sizeof(part_count));
  if (part_count > kMostParts) return Malformed(absl::StrCat("it says that it has ", part_count, " parts"));
  ReceivedWholeSegment received;
  received.note = first->note.substr(sizeof(part_count));
  received.descriptors.data = std::move(first->descriptors[0]);
  received.descriptors.bell = std::move(first->descriptors[1]);
  received.descriptors.parts.resize(part_count);
  if (absl::Status status = ReceiveParts(socket, received.descriptors.parts, deadline); !status.ok())
    return status;
  return received;
}

}  // namespace pylabhub::shm
