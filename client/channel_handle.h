// One end of a channel, by name and pattern: sends or receives, and closes by itself when there is nobody to talk to.
//
//   absl::StatusOr<ChannelHandle> camera = CreateChannel("camera.left", ChannelPattern::kPublishSubscribe, messenger.get(),
//                                                        {.config = {.slot_bytes = 1 << 20}});
//   camera->Send(frame_bytes);
//
//   absl::StatusOr<ChannelHandle> viewer =
//       ConnectChannel("camera.left", ChannelPattern::kPublishSubscribe, absl::Seconds(5), messenger.get());
//   while (viewer->is_valid()) {
//     absl::StatusOr<shm::ReadSlot> frame = viewer->Receive(absl::Seconds(1));
//     if (frame.ok()) Show(frame->payload());
//   }
//
// A handle stands on ChannelProducer or ChannelConsumer (client/channel.h), as Producer<T> and Consumer<T> do; it adds what
// becomes of it. It is for who would rather be told in an absl::Status than in a SlotResult, and costs a few tens of
// nanoseconds more a slot.
//
// What closes a handle, for good, with the reason in why_invalid():
//   a consumer's: its producer closed or died, which is the kernel's word, and what it left has been received (unless the
//                 handle follows the next producer); it was cut off; the next producer has another schema
//   a producer's: another registration took the channel over, or the broker refused to know it any longer
//   without shared memory: the broker says that the channel is closing
//   any:          invalidate()
// A lease that ends closes nothing that is attached: a producer that the broker has lost sight of may be well.
//
// Thread safety: a handle belongs to one thread at a time; invalidate may be called from any, but not while the handle is
//                moved or destroyed.
// Time:          Send and Receive make no system call when a slot is there. One that waits ends at most 50 ms after
//                invalidate, or after the broker's word that closes it.
// Ownership:     the Messenger must outlive the handle, and slots must be gone before it. The destructor closes the channel
//                (a producer's) or leaves it, and has the broker told.
#ifndef PYLABHUB_CLIENT_CHANNEL_HANDLE_H_
#define PYLABHUB_CLIENT_CHANNEL_HANDLE_H_

#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/channel.h"
#include "client/messenger.h"
#include "shm/channel_config.h"
#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "shm/describe.h"
#include "shm/read_slot.h"
#include "shm/schema.h"

namespace pylabhub {

enum class ChannelPattern {
  kPublishSubscribe,  // every consumer gets every slot
  kPipeline,          // the consumers of a group share the slots, each slot to one of them
};

// "publish_subscribe" for kPublishSubscribe and so on.
absl::string_view NameOf(ChannelPattern pattern);

struct CreateOptions {
  // All but `channel` and `policy`, which the name and the pattern decide: capacity, schema, groups, max_patience, ...
  shm::ChannelConfig config = {};
  // Publish/subscribe: the producer waits for the slowest consumer, rather than overwrite what it has not read. (A pipeline
  // always waits.)
  bool lossless = false;
  shm::WaitOptions wait = {};
  MemoryChoice memory = MemoryChoice::kAutomatic;
};

struct ConnectChannelOptions {
  // The group, where to begin, what the producer does when this consumer is slow, ...
  shm::ConsumerOptions consumer = {};
  // Go on with the channel's next producer when one is gone. The handle then stays valid without one.
  bool follow = false;
};

class ChannelHandle {
 public:
  // Of no channel; not valid.
  ChannelHandle();
  ChannelHandle(ChannelHandle&&) noexcept;
  ChannelHandle& operator=(ChannelHandle&&) noexcept;
  ~ChannelHandle();

  const std::string& name() const;
  ChannelPattern pattern() const;
  bool is_producer() const;
  // False: the producer is on another host (the kernel's boot id and /dev/shm's device say so), whose memory cannot be
  // reached from here.
  bool has_shm() const;

  // Whether Send or Receive may still succeed: false once the handle is closed. Asks nobody.
  bool is_valid() const;
  // Why not; OK while it is valid.
  absl::Status why_invalid() const;
  // Closes the handle. The channel is left (and, by a producer, closed) when the handle is destroyed.
  void invalidate();

  // Waits at most `timeout` for a slot, and publishes a copy of `bytes` in it.
  //
  // Errors:
  //   kDeadlineExceeded    no slot was free: a consumer holds it up
  //   kInvalidArgument     more bytes than a slot has, or the handle is a consumer's
  //   kFailedPrecondition  no shared memory; SCHEMA_MISMATCH (of the typed ones); or a child of fork()
  //   why_invalid()        the handle is closed
  absl::Status Send(std::span<const std::byte> bytes, absl::Duration timeout = absl::InfiniteDuration());

  // Waits at most `timeout` for a slot: its bytes stay as they are until it is destroyed.
  //
  // Errors:
  //   kDeadlineExceeded    nothing came
  //   kDataLoss            a slot was corrupt, and was skipped; call again
  //   kInvalidArgument     the handle is a producer's
  //   kFailedPrecondition  no shared memory; SCHEMA_MISMATCH (of the typed ones); or a child of fork()
  //   why_invalid()        the handle is closed
  absl::StatusOr<shm::ReadSlot> Receive(absl::Duration timeout = absl::InfiniteDuration());

  // A T described by PYLABHUB_SCHEMA, on a channel of that schema.
  template <typename T>
  requires(std::is_trivially_copyable_v<T> &&
           !std::is_convertible_v<const T&, std::span<const std::byte>>) absl::Status
      Send(const T& value, absl::Duration timeout = absl::InfiniteDuration()) {
    if (absl::Status status = CheckSchema(HashOfSchemaOf<T>()); !status.ok()) return status;
    return Send(std::as_bytes(std::span(&value, 1)), timeout);
  }
  template <typename T>
  absl::StatusOr<T> Receive(absl::Duration timeout = absl::InfiniteDuration()) {
    if (absl::Status status = CheckSchema(HashOfSchemaOf<T>()); !status.ok()) return status;
    absl::StatusOr<shm::ReadSlot> slot = Receive(timeout);
    if (!slot.ok()) return slot.status();
    return CopyOf<T>(*slot);
  }

  // What the handle stands on, for batches, zones and statistics; null if it is the other end's, or there is no memory.
  shm::DataBlockProducer* producer();
  shm::DataBlockConsumer* consumer();

 private:
  class State;
  friend absl::StatusOr<ChannelHandle> CreateChannel(absl::string_view, ChannelPattern, Messenger*,
                                                     CreateOptions);
  friend absl::StatusOr<ChannelHandle> ConnectChannel(absl::string_view, ChannelPattern, absl::Duration,
                                                      Messenger*, ConnectChannelOptions);

  explicit ChannelHandle(std::unique_ptr<State> state);
  absl::Status CheckSchema(const shm::SchemaHash& hash) const;
  template <typename T>
  static const shm::SchemaHash& HashOfSchemaOf() {
    static const shm::SchemaHash hash = shm::HashOf(shm::SchemaOf<T>());
    return hash;
  }
  template <typename T>
  static absl::StatusOr<T> CopyOf(shm::ReadSlot& slot) {
    if (slot.payload().size() < sizeof(T)) return absl::DataLossError("a slot is shorter than one record");
    T value;
    std::memcpy(&value, slot.payload().data(), sizeof(T));
    if (slot.Release() != shm::SlotResult::kOk) {
      return absl::DataLossError("the slot changed while it was copied; call again");
    }
    return value;
  }

  std::unique_ptr<State> state_;  // never null, but in what was moved from
};

// Creates the channel: see CreateChannel in client/channel.h, whose errors these are.
absl::StatusOr<ChannelHandle> CreateChannel(absl::string_view name, ChannelPattern pattern,
                                            Messenger* messenger = nullptr, CreateOptions options = {});

// Waits at most `timeout` for the channel to appear, and attaches to it: see ConnectChannel in client/channel.h. A channel of
// another host is no error here: the handle has no shared memory.
//
// Errors, beside those: kFailedPrecondition, the channel has the other pattern.
absl::StatusOr<ChannelHandle> ConnectChannel(absl::string_view name, ChannelPattern pattern,
                                             absl::Duration timeout, Messenger* messenger = nullptr,
                                             ConnectChannelOptions options = {});

// The same for channels of T.
template <typename T>
absl::StatusOr<ChannelHandle> CreateChannel(absl::string_view name, ChannelPattern pattern,
                                            Messenger* messenger = nullptr, CreateOptions options = {}) {
  options.config.schema = shm::SchemaOf<T>();
  return CreateChannel(name, pattern, messenger, std::move(options));
}
template <typename T>
absl::StatusOr<ChannelHandle> ConnectChannel(absl::string_view name, ChannelPattern pattern,
                                             absl::Duration timeout, Messenger* messenger = nullptr,
                                             ConnectChannelOptions options = {}) {
  options.consumer.expected_schema = shm::SchemaOf<T>();
  return ConnectChannel(name, pattern, timeout, messenger, std::move(options));
}

}  // namespace pylabhub

#endif  // PYLABHUB_CLIENT_CHANNEL_HANDLE_H_
