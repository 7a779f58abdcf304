// The file of a recording, or one after the other of them, as it is written.
//
//   auto writer = RecordingWriter::Create({.path = "run.h5"}, channels);
//   (*writer)->Append(batch);
//   (*writer)->Flush();  // readers see it now, and it stays if this process is killed
//   (*writer)->Close();
//
// A file can be read while it is written (SWMR, HDF5's "single writer, multiple readers"): all that it will have is created at
// its start, and then only grows. A writer that is killed leaves a file that says that it is being written: h5py opens it with
// swmr=True, recorded_file.h always, and `h5clear -s FILE` makes it a file like any other.
//
// Thread safety: hdf5.h.
// Errors:        hdf5.h. After an error nothing more is written, and the file is left as if the process had been killed: HDF5
//                does not close a file in good order that it cannot write to. Its descriptor stays open.
#ifndef PYLABHUB_CLIENT_RECORDING_RECORDING_WRITER_H_
#define PYLABHUB_CLIENT_RECORDING_RECORDING_WRITER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/recording/batch.h"
#include "client/recording/channel_table.h"
#include "client/recording/hdf5.h"

namespace pylabhub::recording {

struct WriterOptions {
  std::string path = {};
  // A file that is this large, or this old, is followed by a new one, once there is something to write to it: then they are
  // named PATH-0001.h5, PATH-0002.h5, ... 0 and InfiniteDuration: one file, named `path`.
  uint64_t rotate_bytes = 0;
  absl::Duration rotate_after = absl::InfiniteDuration();
  int compression_level = 0;  // of deflate, 1 to 9; 0: none
};

class RecordingWriter {
 public:
  // Creates the first file. kAlreadyExists if it is there: no file is ever overwritten. `channels` have different names.
  static absl::StatusOr<std::unique_ptr<RecordingWriter>> Create(const WriterOptions& options,
                                                                 std::vector<RecordedChannel> channels);

  RecordingWriter(const RecordingWriter&) = delete;
  RecordingWriter& operator=(const RecordingWriter&) = delete;

  // Changes the batch's numbers into those of the file.
  absl::Status Append(Batch& batch);
  absl::Status Flush();
  absl::Status Close();
  // Writes nothing any more, as after an error.
  void Abandon();

  // The files so far, oldest first.
  const std::vector<std::string>& paths() const { return paths_; }
  // Of all of them.
  uint64_t file_bytes() const;

 private:
  RecordingWriter(WriterOptions options, std::vector<RecordedChannel> channels);
  absl::Status OpenNextFile();
  absl::Status AppendToFile(Batch& batch);
  absl::Status FlushFile();
  absl::Status SettleEnd();
  absl::Status CloseFile();
  absl::Status OrAbandon(absl::Status status);
  absl::StatusOr<Hid> CreateFile(const std::string& path) const;
  absl::Status DescribeFile(const Hid& file) const;
  absl::Status CarrySegmentsOver();
  bool IsTimeForTheNextFile() const;
  bool rotates() const;

  // The segment that a channel is in.
  struct Position {
    bool known = false;
    uint32_t number = 0;  // in the recording
    SegmentRow segment = {};
  };

  const WriterOptions options_;
  const std::vector<RecordedChannel> channels_;
  const std::string recording_id_;
  std::vector<Position> positions_;  // by channel
  std::vector<std::string> paths_;
  absl::Time file_start_;
  bool has_rows_ = false;  // beside the segments that were carried over
  uint64_t closed_bytes_ = 0;
  Hid file_;
  std::vector<ChannelTable> tables_;  // by channel; closed before the file
};

}  // namespace pylabhub::recording

#endif  // PYLABHUB_CLIENT_RECORDING_RECORDING_WRITER_H_
