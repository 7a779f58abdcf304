// A channel in one call: its shared memory, and its entry with a broker where there is one.
//
//   auto producer = pylabhub::Producer<TempReading>::Create("sensor.temperature", messenger.get());
//   producer->Write({.celsius = 21.5, .timestamp_ns = now_ns});
//
//   auto consumer = pylabhub::Consumer<TempReading>::Connect("sensor.temperature", absl::Seconds(5), messenger.get());
//   while (auto reading = consumer->Read(absl::Seconds(1))) { ... }
//
// Without a Messenger (nullptr) a channel is found by its name on this host, and no broker is needed. With one, it can also
// be found through the broker, which knows who produces and who consumes it; the data goes the same way.
//
// Thread safety: a handle belongs to one thread at a time, as in shm/.
// Ownership:     the Messenger must outlive the handle, whose destructor first has the broker told (without waiting for it),
//                then leaves the shared memory.
// Errors:        those of shm/data_block_producer.h, shm/data_block_consumer.h and client/messenger.h. When the broker refuses,
//                or cannot be reached, nothing is kept, in shared memory neither.
#ifndef PYLABHUB_CLIENT_CHANNEL_H_
#define PYLABHUB_CLIENT_CHANNEL_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/block_memory_source.h"
#include "client/broker_types.h"
#include "client/messenger.h"
#include "shm/channel_config.h"
#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "shm/typed.h"

namespace pylabhub {

// Something that a Messenger keeps registered for as long as this lives. Empty where there is no Messenger.
class Registration {
 public:
  Registration() = default;
  Registration(Messenger& messenger, ChannelClaim channel)
      : messenger_(&messenger), claim_(std::move(channel)) {}
  Registration(Messenger& messenger, ConsumerClaim consumer)
      : messenger_(&messenger), claim_(std::move(consumer)) {}
  Registration(Registration&& other) noexcept
      : messenger_(std::exchange(other.messenger_, nullptr)), claim_(std::move(other.claim_)) {}
  Registration& operator=(Registration&& other) noexcept;
  ~Registration() { Release(); }

  explicit operator bool() const { return messenger_ != nullptr; }

  // Has the broker told; does not wait for it.
  void Release();

 private:
  Messenger* messenger_ = nullptr;
  std::variant<ChannelClaim, ConsumerClaim> claim_;
};

// How a channel's memory comes to its consumers.
enum class MemoryChoice {
  // Handed over where the Messenger's broker does that, and the producer asks for no folder and no group of its own; else named.
  kAutomatic,
  kNamed,
  kHandedOver,
};

// What lends a channel's memory to its Messenger, until it is destroyed. Empty for a named channel.
class MemoryLoan {
 public:
  MemoryLoan() = default;
  explicit MemoryLoan(std::shared_ptr<BlockMemorySource> source) : source_(std::move(source)) {}
  MemoryLoan(MemoryLoan&&) noexcept = default;
  MemoryLoan& operator=(MemoryLoan&& other) noexcept {
    if (this == &other) return *this;
    End();
    source_ = std::move(other.source_);
    return *this;
  }
  ~MemoryLoan() { End(); }

 private:
  void End();
  std::shared_ptr<BlockMemorySource> source_;
};

// How a consumer comes to the memory of the channel's next segment, where it is handed over. Empty for a named channel.
struct HandOverLink {
  Messenger* messenger = nullptr;
  ConsumerSpec spec = {};
  shm::ConsumerOptions options = {};
  uint32_t part = 0;  // where it sits
};

// Channels of plain bytes, or of a schema that is known only at run time.
struct ChannelProducer {
  std::unique_ptr<shm::DataBlockProducer> block = nullptr;
  MemoryLoan loan = MemoryLoan();              // ends before the block
  Registration registration = Registration();  // last: given up first
};
struct ChannelConsumer {
  std::unique_ptr<shm::DataBlockConsumer> block = nullptr;
  HandOverLink link = HandOverLink();
  Registration registration = Registration();  // last: given up first

  bool is_handed_over() const { return link.messenger != nullptr; }
};

// Whether the channel's memory can be reached from here: its producer runs under this kernel, and with this /dev/shm if the
// memory is named. True also for one that does not say where it is.
bool SharesMemoryWithThisProcess(const Channel& channel);

// Creates the channel, and registers it where there is a Messenger. A broker that still holds a lease of this channel's former
// producer, which has just been found dead on this host, is told to let the new one take over.
absl::StatusOr<ChannelProducer> CreateChannel(const shm::ChannelConfig& config,
                                              Messenger* messenger = nullptr,
                                              const shm::WaitOptions& wait = {},
                                              MemoryChoice memory = MemoryChoice::kAutomatic);

// Waits at most `timeout` for the channel to appear, attaches to it, and registers as its consumer where there is a Messenger.
// `options.open_timeout` is not used. A producer that closed after this consumer attached and before it could register leaves
// it with what was written and no registration.
//
// Errors, beside those above:
//   kFailedPrecondition  the channel is produced on another host, which the message names: its memory cannot be reached
//   kUnavailable         the broker and this host differ in which segment is the channel's, even after `timeout`
absl::StatusOr<ChannelConsumer> ConnectChannel(absl::string_view channel, absl::Duration timeout,
                                               Messenger* messenger = nullptr,
                                               shm::ConsumerOptions options = {});

// After kProducerClosed or kProducerDead: waits at most `timeout` for the channel's next segment, and attaches to it, as
// DataBlockConsumer::Follow does. Where memory is handed over, the broker says which it is and hands it over. A segment that
// does not know of this one, since the broker had lost it or the producers had different identities, is attached to anew (`block` is
// another one then), where the options that the consumer was made with say.
//
// Errors: kDeadlineExceeded (no successor yet; call again), and those of ConnectChannel.
absl::Status Follow(ChannelConsumer& consumer, absl::Duration timeout);

// A shm::Producer<T> that a broker may know.
template <typename T>
class Producer : public shm::Producer<T> {
 public:
  // `config.schema` is T's, whatever the caller left there.
  static absl::StatusOr<Producer> Create(absl::string_view channel, Messenger* messenger = nullptr,
                                         shm::ChannelConfig config = {}, const shm::WaitOptions& wait = {},
                                         MemoryChoice memory = MemoryChoice::kAutomatic) {
    config.channel = std::string(channel);
    config.schema = shm::SchemaOf<T>();
    absl::StatusOr<ChannelProducer> created = CreateChannel(config, messenger, wait, memory);
    if (!created.ok()) return created.status();
    return Producer(*std::move(created));
  }

 private:
  explicit Producer(ChannelProducer created)
      : shm::Producer<T>(std::move(created.block)),
        loan_(std::move(created.loan)),
        registration_(std::move(created.registration)) {}

  MemoryLoan loan_;
  Registration registration_;
};

// A shm::Consumer<T> that a broker may know.
template <typename T>
class Consumer : public shm::Consumer<T> {
 public:
  // `options.expected_schema` is T's, whatever the caller left there.
  static absl::StatusOr<Consumer> Connect(absl::string_view channel, absl::Duration timeout,
                                          Messenger* messenger = nullptr, shm::ConsumerOptions options = {}) {
    options.expected_schema = shm::SchemaOf<T>();
    absl::StatusOr<ChannelConsumer> connected =
        ConnectChannel(channel, timeout, messenger, std::move(options));
    if (!connected.ok()) return connected.status();
    return Consumer(*std::move(connected));
  }

 private:
  explicit Consumer(ChannelConsumer connected)
      : shm::Consumer<T>(std::move(connected.block)), registration_(std::move(connected.registration)) {}

  Registration registration_;
};

}  // namespace pylabhub

#endif  // PYLABHUB_CLIENT_CHANNEL_H_
