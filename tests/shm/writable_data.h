// The data file of a segment, writable as no consumer has it: for tests that look at it, or play a fault in it.
#ifndef PYLABHUB_TESTS_SHM_WRITABLE_DATA_H_
#define PYLABHUB_TESTS_SHM_WRITABLE_DATA_H_

#include <fcntl.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "shm/os/mapping.h"
#include "shm/segment/data_segment.h"
#include "tests/support/shm_folder.h"

namespace pylabhub::shm {

class WritableData {
 public:
  explicit WritableData(const std::string& path) {
    auto mapping = Mapping::Of(UniqueFd(open(path.c_str(), O_RDWR | O_CLOEXEC)), Access::kReadWrite);
    EXPECT_TRUE(mapping.ok()) << mapping.status();
    if (!mapping.ok()) return;
    mapping_ = *std::move(mapping);
    const auto view = ViewData(mapping_.bytes());
    EXPECT_TRUE(view.ok()) << view.status();
    if (view.ok()) geometry_ = view->geometry;
  }
  // The only data file in a folder.
  explicit WritableData(const pylabhub::testing::ShmFolder& folder) : WritableData(OnlyDataFile(folder)) {}

  SlotDescriptor& descriptor(uint64_t sequence) const {
    return *At<SlotDescriptor>(base(), geometry_.cells_offset_bytes +
                                           sequence % geometry_.capacity_slots * geometry_.cell_stride_bytes);
  }
  bool Has(uint64_t sequence) const { return descriptor(sequence).stamp.load() == sequence + 1; }
  std::byte* payload(uint64_t sequence) const {
    SlotDescriptor& cell = descriptor(sequence);
    if (geometry_.inline_payloads()) return reinterpret_cast<std::byte*>(&cell + 1);
    return base() + geometry_.chunks_offset_bytes + cell.chunk.load() * geometry_.chunk_stride_bytes;
  }
  void Flip(uint64_t sequence, size_t index) const { payload(sequence)[index] ^= std::byte{0x10}; }

 private:
  static std::string OnlyDataFile(const pylabhub::testing::ShmFolder& folder) {
    for (const std::string& name : folder.Files()) {
      if (name.ends_with(".data")) return folder.path() + "/" + name;
    }
    return {};
  }
  std::byte* base() const { return mapping_.base(); }

  Mapping mapping_;
  Geometry geometry_;
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_TESTS_SHM_WRITABLE_DATA_H_
