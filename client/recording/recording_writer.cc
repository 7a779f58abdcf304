#include "client/recording/recording_writer.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "client/recording/format.h"
#include "client/steady_now.h"
#include "shm/segment_id.h"

namespace pylabhub::recording {
namespace {

std::string HostName() {
  std::array<char, 256> name = {};
  gethostname(name.data(), name.size() - 1);
  return name.data();
}

std::string PartPath(const std::string& path, size_t part) {
  const bool has_ending = absl::EndsWith(path, ".h5");
  const absl::string_view stem = absl::StripSuffix(path, ".h5");
  return absl::StrFormat("%s-%04d%s", stem, part, has_ending ? ".h5" : "");
}

// Only files of this version of the format can be read while they are written.
absl::StatusOr<Hid> FileAccess() {
  absl::StatusOr<Hid> access = Own(H5Pcreate(H5P_FILE_ACCESS), "preparing the file");
  if (!access.ok()) return access;
  if (H5Pset_libver_bounds(access->get(), H5F_LIBVER_LATEST, H5F_LIBVER_LATEST) < 0) {
    return Hdf5Error("preparing the file");
  }
  return access;
}

}  // namespace

RecordingWriter::RecordingWriter(WriterOptions options, std::vector<RecordedChannel> channels)
    : options_(std::move(options)),
      channels_(std::move(channels)),
      recording_id_(shm::SegmentId::Random().ToHex()),
      positions_(channels_.size()) {}

absl::StatusOr<std::unique_ptr<RecordingWriter>> RecordingWriter::Create(
    const WriterOptions& options, std::vector<RecordedChannel> channels) {
  SilenceHdf5();
  std::unique_ptr<RecordingWriter> writer(new RecordingWriter(options, std::move(channels)));
  if (absl::Status status = writer->OpenNextFile(); !status.ok()) return status;
  return writer;
}

bool RecordingWriter::rotates() const {
  return options_.rotate_bytes > 0 || options_.rotate_after != absl::InfiniteDuration();
}

absl::Status RecordingWriter::DescribeFile(const Hid& file) const {
  absl::Status status = WriteAttribute(file, kFormatAttribute, kFormatVersion);
  status.Update(WriteAttribute(file, kRecordingIdAttribute, recording_id_));
  status.Update(WriteAttribute(file, kPartAttribute, paths_.size() + 1));
  status.Update(WriteAttribute(file, "host", HostName()));
  status.Update(WriteAttribute(file, "started",
                               absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", file_start_, absl::UTCTimeZone())));
  return status;
}

absl::StatusOr<Hid> RecordingWriter::CreateFile(const std::string& path) const {
  const absl::StatusOr<Hid> access = FileAccess();
  if (!access.ok()) return access.status();
  absl::StatusOr<Hid> file =
      Own(H5Fcreate(path.c_str(), H5F_ACC_EXCL, H5P_DEFAULT, access->get()), absl::StrCat("creating ", path));
  if (absl::IsAlreadyExists(file.status())) {
    return absl::AlreadyExistsError(absl::StrCat(
        path, " is there already, and no recording is overwritten; give another name, or move it away"));
  }
  if (!file.ok()) return file;
  if (absl::Status status = DescribeFile(*file); !status.ok()) return status;
  for (const RecordedChannel& channel : channels_) {
    absl::Status status = ChannelTable::Create(*file, channel, options_.compression_level);
    if (!status.ok()) return status;
  }
  // From here on readers may follow, and nothing but rows can be added.
  if (absl::Status status = Check(H5Fstart_swmr_write(file->get()), absl::StrCat("starting ", path));
      !status.ok()) {
    return status;
  }
  return file;
}

absl::Status RecordingWriter::OpenNextFile() {
  file_start_ = SteadyNow();
  has_rows_ = false;
  const std::string path = rotates() ? PartPath(options_.path, paths_.size() + 1) : options_.path;
  absl::StatusOr<Hid> file = CreateFile(path);
  if (!file.ok()) return file.status();
  file_ = *std::move(file);
  paths_.push_back(path);
  for (size_t i = 0; i < channels_.size(); ++i) {
    absl::StatusOr<ChannelTable> table = ChannelTable::Open(file_, channels_[i], positions_[i].number);
    if (!table.ok()) return table.status();
    tables_.push_back(*std::move(table));
  }
  return CarrySegmentsOver();
}

absl::Status RecordingWriter::CarrySegmentsOver() {
  for (size_t i = 0; i < channels_.size(); ++i) {
    if (!positions_[i].known) continue;
    Batch batch;
    batch.segments.push_back(positions_[i].segment);
    batch.segments[0].first_slot = 0;
    if (absl::Status status = tables_[i].Append(batch); !status.ok()) return status;
  }
  return FlushFile();
}

bool RecordingWriter::IsTimeForTheNextFile() const {
  if (!rotates() || !has_rows_) return false;
  hsize_t bytes = 0;
  if (options_.rotate_bytes > 0 && H5Fget_filesize(file_.get(), &bytes) >= 0 &&
      bytes >= options_.rotate_bytes) {
    return true;
  }
  return SteadyNow() - file_start_ >= options_.rotate_after;
}

absl::Status RecordingWriter::OrAbandon(absl::Status status) {
  if (!status.ok()) Abandon();
  return status;
}

void RecordingWriter::Abandon() {
  for (ChannelTable& table : tables_) table.Abandon();
  tables_.clear();
  file_.Abandon();
}

absl::Status RecordingWriter::Append(Batch& batch) { return OrAbandon(AppendToFile(batch)); }

absl::Status RecordingWriter::AppendToFile(Batch& batch) {
  if (IsTimeForTheNextFile()) {
    if (absl::Status status = CloseFile(); !status.ok()) return status;
    if (absl::Status status = OpenNextFile(); !status.ok()) return status;
  }
  if (absl::Status status = tables_[batch.channel].Append(batch); !status.ok()) return status;
  has_rows_ = true;
  if (!batch.segments.empty()) {
    Position& position = positions_[batch.channel];
    position.number += static_cast<uint32_t>(batch.segments.size()) - (position.known ? 0 : 1);
    position.segment = batch.segments.back();
    position.known = true;
  }
  return absl::OkStatus();
}

absl::Status RecordingWriter::Flush() { return OrAbandon(FlushFile()); }

absl::Status RecordingWriter::FlushFile() {
  for (ChannelTable& table : tables_) {
    if (absl::Status status = table.Flush(); !status.ok()) return status;
  }
  return SettleEnd();
}

// A reader that is told to take the file for a closed one believes what the file's head says of where it ends, and does not
// open it if that is beyond its end: a chunk that is yet to be filled may be.
absl::Status RecordingWriter::SettleEnd() {
  const std::string doing = absl::StrCat("flushing ", paths_.back());
  hsize_t bytes = 0;
  void* descriptor = nullptr;
  if (H5Fget_filesize(file_.get(), &bytes) < 0 ||
      H5Fget_vfd_handle(file_.get(), H5P_DEFAULT, &descriptor) < 0) {
    return Hdf5Error(doing);
  }
  if (ftruncate(*static_cast<const int*>(descriptor), static_cast<off_t>(bytes)) != 0) {
    return absl::UnavailableError(absl::StrCat(doing, ": ", std::strerror(errno)));
  }
  return Check(H5Fflush(file_.get(), H5F_SCOPE_LOCAL), doing);
}

absl::Status RecordingWriter::Close() { return OrAbandon(CloseFile()); }

absl::Status RecordingWriter::CloseFile() {
  if (!file_) return absl::OkStatus();
  if (absl::Status status = FlushFile(); !status.ok()) return status;
  closed_bytes_ = file_bytes();
  tables_.clear();
  return Check(file_.Close(), absl::StrCat("closing ", paths_.back()));
}

uint64_t RecordingWriter::file_bytes() const {
  hsize_t bytes = 0;
  if (file_) H5Fget_filesize(file_.get(), &bytes);
  return closed_bytes_ + bytes;
}

}  // namespace pylabhub::recording
