#include "tests/chaos/vandal.h"

#include <utility>

#include "shm/channel/anchor.h"
#include "shm/channel/channel_files.h"
#include "shm/os/mapping.h"
#include "shm/segment/data_segment.h"
#include "shm/segment/layout.h"

namespace pylabhub::chaos {

void SpoilDescriptor(const shm::ChannelConfig& config, uint64_t sequence) {
  const shm::ChannelFiles files(config.directory, config.channel);
  const auto anchor = shm::Anchor::Open(files);
  if (!anchor.ok()) return;
  auto fd = shm::OpenChannelFile(files.DataPath(anchor->Read().segment_id), shm::Access::kReadWrite);
  if (!fd.ok()) return;
  const auto data = shm::Mapping::Of(*std::move(fd), shm::Access::kReadWrite);
  if (!data.ok()) return;
  const auto view = shm::ViewData(data->bytes());
  if (!view.ok()) return;
  const uint64_t cell = sequence % view->geometry.capacity_slots;
  const uint64_t offset_bytes = view->geometry.cells_offset_bytes + cell * view->geometry.cell_stride_bytes;
  shm::At<shm::SlotDescriptor>(data->base(), offset_bytes)->payload_bytes.store(UINT64_MAX);
}

}  // namespace pylabhub::chaos
