// Opens an anchor file of arbitrary bytes, then takes it over as a producer does.
//
// The input: two bytes that say by how much the file is longer than a page, or shorter; then what is in it, and zeros.
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "shm/channel/anchor.h"
#include "shm/channel/channel_files.h"
#include "shm/segment/layout.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/require.h"

namespace pylabhub::fuzz {
namespace {

using ::pylabhub::shm::Anchor;
using ::pylabhub::shm::ChannelFiles;

// A folder of this process, that goes with it.
class Folder {
 public:
  Folder() {
    const char* parent = std::getenv("TEST_TMPDIR");
    path_ = std::string(parent != nullptr ? parent : "/tmp") + "/anchor_fuzz.XXXXXX";
    Require(mkdtemp(path_.data()) != nullptr, "a folder for the anchor can be made");
  }
  ~Folder() {
    unlink(ChannelFiles(path_, "fuzz").AnchorPath().c_str());
    rmdir(path_.c_str());
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

void WriteAnchor(const std::string& path, Input input) {
  const int64_t longer_bytes = static_cast<int16_t>(input.Number(2));
  const auto bytes = static_cast<size_t>(std::max<int64_t>(0, int64_t{shm::kPageBytes} + longer_bytes));
  std::vector<uint8_t> content(bytes);
  for (uint8_t& byte : content) byte = input.Byte();
  unlink(path.c_str());
  std::FILE* file = std::fopen(path.c_str(), "w");
  Require(file != nullptr && std::fwrite(content.data(), 1, bytes, file) == bytes && std::fclose(file) == 0,
          "the anchor can be written");
}

void Run(Input input) {
  static const Folder folder;
  const ChannelFiles files(folder.path(), "fuzz");
  WriteAnchor(files.AnchorPath(), input);
  const absl::StatusOr<Anchor> opened = Anchor::Open(files);
  Require(opened.ok() || absl::IsNotFound(opened.status()) || absl::IsFailedPrecondition(opened.status()),
          "an anchor is sound, not finished, or no anchor of this version");
  if (opened.ok()) {
    const Anchor::Current current = opened->Read();
    Require(current.publications == opened->Read().publications, "an anchor that stays says the same again");
  }

  absl::StatusOr<Anchor> locked = Anchor::Lock(files, std::nullopt);
  Require(locked.ok() || absl::IsFailedPrecondition(locked.status()),
          "who takes an anchor over has it or is told why");
  Require(locked.ok() || !opened.ok(), "what can be opened can be taken over");
  if (!locked.ok()) return;
  const shm::SegmentId id = shm::SegmentId::Random();
  locked->Publish(id);
  Require(locked->Read().segment_id == id, "what was published is current");
  if (opened.ok()) Require(opened->Read().segment_id == id && opened->IsLocked(), "and others see it");
}

}  // namespace
}  // namespace pylabhub::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  pylabhub::fuzz::Run(pylabhub::fuzz::Input(data, bytes));
  return 0;
}
