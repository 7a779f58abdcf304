#include "shm/channel_directory.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "shm/channel/anchor.h"
#include "shm/channel/channel_files.h"
#include "shm/channel/named_segment.h"

namespace pylabhub::shm {
namespace {

NamedChannel Describe(const ChannelFiles& files) {
  NamedChannel found;
  found.channel = files.channel();
  const absl::StatusOr<Anchor> anchor = Anchor::Open(files);
  if (!anchor.ok()) {
    found.status = anchor.status();
    return found;
  }
  found.segment_id = anchor->Read().segment_id;
  if (found.segment_id.is_nil()) {
    found.status = absl::NotFoundError("its first producer has not finished creating it");
    return found;
  }
  absl::StatusOr<OpenedSegment> segment = OpenNamedSegment(files, found.segment_id, Access::kReadOnly);
  if (!segment.ok()) {
    found.status = segment.status();
    return found;
  }
  const DataHeader& header = *segment->data_view.header;
  found.producer_alive = segment->ProducerLives();
  found.producer_closed = header.wait.closed_at.load(std::memory_order_acquire) != 0;
  found.producer_pid = segment->data_view.producer_pid;
  found.consumer_count = segment->CountLivingConsumers();
  found.committed_slots = header.progress.head.load(std::memory_order_relaxed);
  found.segment_bytes = segment->data.bytes().size() + segment->control.bytes();
  found.config = std::move(segment->data_view.config);
  return found;
}

}  // namespace

NamedChannel FindNamedChannel(absl::string_view channel, absl::string_view directory) {
  if (absl::Status status = ValidateChannelName(channel); !status.ok()) {
    NamedChannel found;
    found.channel = std::string(channel);
    found.status = std::move(status);
    return found;
  }
  return Describe(ChannelFiles(directory, channel));
}

absl::StatusOr<std::vector<NamedChannel>> ListNamedChannels(absl::string_view directory) {
  const absl::StatusOr<std::vector<std::string>> names = ListAnchoredChannels(directory);
  if (!names.ok()) return names.status();
  std::vector<NamedChannel> channels;
  for (const std::string& name : *names) {
    if (ValidateChannelName(name).ok()) channels.push_back(Describe(ChannelFiles(directory, name)));
  }
  return channels;
}

}  // namespace pylabhub::shm
