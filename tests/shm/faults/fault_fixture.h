// A channel whose bytes on disk a test may look at and spoil.
#ifndef PYLABHUB_TESTS_SHM_FAULTS_FAULT_FIXTURE_H_
#define PYLABHUB_TESTS_SHM_FAULTS_FAULT_FIXTURE_H_

#include <fcntl.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "shm/channel/channel_files.h"
#include "shm/os/mapping.h"
#include "shm/segment/control_segment.h"
#include "shm/segment/data_segment.h"
#include "tests/shm/block_fixture.h"

namespace pylabhub::shm {

class FaultTest : public BlockFixture {
 protected:
  ChannelFiles Files() const { return ChannelFiles(folder_.path(), kBlock); }

  // A file of the channel, writable, as only its owner may have it.
  static Mapping Writable(const std::string& path) {
    auto mapping = Mapping::Of(UniqueFd(open(path.c_str(), O_RDWR | O_CLOEXEC)), Access::kReadWrite);
    EXPECT_TRUE(mapping.ok()) << mapping.status();
    return *std::move(mapping);
  }
  Mapping DataOf(const DataBlockProducer& producer) const {
    return Writable(Files().DataPath(producer.segment_id()));
  }
  Mapping ControlOf(const DataBlockProducer& producer) const {
    return Writable(Files().ControlPath(producer.segment_id()));
  }

  // The cell of slot `sequence`; a small payload follows it.
  static SlotDescriptor& CellOf(const Mapping& data, uint64_t sequence) {
    const Geometry geometry = ViewData(data.bytes())->geometry;
    const uint64_t index = sequence % geometry.capacity_slots;
    return *At<SlotDescriptor>(data.base(), geometry.cells_offset_bytes + index * geometry.cell_stride_bytes);
  }
  static std::byte* PayloadOf(const Mapping& data, uint64_t sequence) {
    const Geometry geometry = ViewData(data.bytes())->geometry;
    SlotDescriptor& cell = CellOf(data, sequence);
    if (geometry.inline_payloads()) return reinterpret_cast<std::byte*>(&cell + 1);
    return data.base() + geometry.chunks_offset_bytes + cell.chunk * geometry.chunk_stride_bytes;
  }
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_TESTS_SHM_FAULTS_FAULT_FIXTURE_H_
