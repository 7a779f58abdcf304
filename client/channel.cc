#include "client/channel.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/backoff.h"
#include "client/channel_spec.h"
#include "client/error_reason.h"
#include "client/process_info.h"
#include "client/session_id.h"

namespace pylabhub {
namespace {

constexpr absl::Duration kFirstRetry = absl::Milliseconds(5);
constexpr absl::Duration kRetryLimit = absl::Milliseconds(250);
// An exchange on this host takes well below a millisecond; who waits no longer still waits for that.
constexpr absl::Duration kCollectTimeout = absl::Seconds(1);

class Deadline {
 public:
  explicit Deadline(absl::Duration timeout) : timeout_(timeout) {}
  absl::Duration left() const {
    return std::max(timeout_ - absl::FromChrono(std::chrono::steady_clock::now() - start_),
                    absl::ZeroDuration());
  }

 private:
  const absl::Duration timeout_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// Whether the channel's present registration is of a producer whose memory is this host's. Then, since its segment could be
// succeeded, that producer is gone.
bool HolderWasOnThisHost(Messenger& messenger, const std::string& channel, absl::Duration timeout) {
  const absl::StatusOr<std::vector<Channel>> listed = messenger.ListChannels(channel, timeout);
  if (!listed.ok()) return false;
  return std::any_of(listed->begin(), listed->end(), [&](const Channel& found) {
    return found.spec.name == channel && SharesMemory(found.spec.process, ThisProcess());
  });
}

absl::StatusOr<Registration> Register(Messenger& messenger, const shm::DataBlockProducer& block) {
  constexpr absl::Duration kListTimeout = absl::Seconds(5);
  const ChannelSpec spec = SpecOf(block.config(), block.segment_id());
  absl::StatusOr<Grant> grant = messenger.RegisterProducer(spec).get();
  const std::string why = ReasonOf(grant.status());
  if ((why == reason::kChannelHeld || why == reason::kSchemaMismatch) &&
      HolderWasOnThisHost(messenger, spec.name, kListTimeout)) {
    grant = messenger.RegisterProducer(spec, OnHeld::kTakeOver).get();
  }
  if (!grant.ok()) return grant.status();
  if (!grant->is_registered) return Registration();
  return Registration(messenger, ChannelClaim{.name = spec.name, .epoch = grant->channel.epoch});
}

absl::StatusOr<Registration> Register(Messenger& messenger, const shm::DataBlockConsumer& block) {
  const ConsumerSpec spec = {.channel = block.config().channel,
                             .consumer_id = RandomSessionId(),
                             .expected_schema_hash = block.schema_hash(),
                             .expected_schema_text = shm::CanonicalText(block.config().schema),
                             .group = block.group()};
  const absl::StatusOr<Grant> grant = messenger.RegisterConsumer(spec).get();
  if (!grant.ok()) return grant.status();
  if (!grant->is_registered) return Registration();
  return Registration(messenger, ConsumerClaim{.channel = spec.channel, .consumer_id = spec.consumer_id});
}

absl::Status CheckReachable(const Channel& found) {
  if (SharesMemoryWithThisProcess(found)) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("channel '", found.spec.name, "' is produced on host '", found.spec.process.host,
                   "', whose shared memory this process cannot reach; run the consumer there"));
}

// Whether the block is of the segment that the broker has. What was known of it may be a moment older than the block.
bool IsCurrent(const shm::DataBlockConsumer& block, const Channel& known, Messenger& messenger) {
  if (block.segment_id().bytes == known.spec.segment_id) return true;
  const absl::StatusOr<Channel> now =
      messenger.DiscoverProducer(known.spec.name, absl::ZeroDuration(), Consistency::kStrong);
  return now.ok() && block.segment_id().bytes == now->spec.segment_id;
}

absl::StatusOr<bool> IsToBeHandedOver(const shm::ChannelConfig& config, Messenger* messenger,
                                      MemoryChoice memory) {
  const bool offered = messenger != nullptr && messenger->HandsOver();
  if (memory == MemoryChoice::kHandedOver && !offered) {
    return absl::FailedPreconditionError(
        absl::StrCat("channel '", config.channel, "' is to be handed over, and ",
                     messenger == nullptr ? "there is no broker" : "the broker does not offer that"));
  }
  if (memory != MemoryChoice::kAutomatic) return memory == MemoryChoice::kHandedOver;
  return offered && config.directory == shm::ChannelConfig().directory && !config.unix_group.has_value();
}

absl::StatusOr<ChannelProducer> CreateHandedOver(const shm::ChannelConfig& requested, Messenger& messenger,
                                                 const shm::WaitOptions& wait) {
  const shm::ChannelConfig config = requested.WithDefaults();
  if (absl::Status status = config.Validate(); !status.ok()) return status;
  messenger.ProtectProcess();
  const shm::SegmentId segment_id = shm::SegmentId::Random();
  const ChannelSpec spec = SpecOf(config, segment_id, MemoryKind::kHandedOver);
  const auto source = std::make_shared<BlockMemorySource>(config, wait, segment_id,
                                                          [&messenger, spec](const shm::SegmentId& next_id) {
                                                            ChannelSpec successor = spec;
                                                            successor.segment_id = next_id.bytes;
                                                            messenger.Supersede(std::move(successor));
                                                          });
  ChannelProducer producer = {.loan = MemoryLoan(source)};
  // The segment is made in between: it keeps places for those who read what the channel's last producer left.
  const absl::StatusOr<Grant> grant = messenger.RegisterProducer(spec, OnHeld::kFail, source).get();
  if (!grant.ok()) return grant.status();
  producer.registration =
      Registration(messenger, ChannelClaim{.name = spec.name, .epoch = grant->channel.epoch});
  producer.block = source->TakeBlock();
  if (producer.block == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("the broker does not hand over the memory of channel '", spec.name, "' any more"));
  }
  return producer;
}

// Registers the consumer (again), and collects what it attaches to; a producer that has yet to bring it, or to make room, is
// waited for.
absl::StatusOr<CollectedMemory> RegisterAndCollect(const HandOverLink& link, const Deadline& deadline,
                                                   const shm::SegmentId& segment_before = {}) {
  Backoff backoff(kFirstRetry, kRetryLimit);
  CollectWish wish = {.onlooker = link.spec.group.empty() && link.options.order == shm::ReadOrder::kLatest};
  if (!segment_before.is_nil()) wish.before = {.segment_id = segment_before.bytes, .part = link.part};
  while (true) {
    const absl::StatusOr<Grant> grant = link.messenger->RegisterConsumer(link.spec).get();
    if (!grant.ok()) return grant.status();
    if (!grant->hand_over.has_value()) {
      return absl::FailedPreconditionError(absl::StrCat(
          "the broker does not hand over the memory of channel '", link.spec.channel, "' any more"));
    }
    absl::StatusOr<CollectedMemory> collected =
        link.messenger->Collect(*grant->hand_over, wish, std::max(deadline.left(), kCollectTimeout));
    const std::string why = ReasonOf(collected.status());
    const bool may_pass =
        why == reason::kNotDeposited || why == reason::kLimitExceeded || why == reason::kTicketInvalid;
    const absl::Duration left = deadline.left();
    if (collected.ok() || !may_pass || left == absl::ZeroDuration()) return collected;
    absl::SleepFor(std::min(backoff.Next(), left));
  }
}

shm::ConsumerDescriptors DescriptorsOf(CollectedMemory memory) {
  return {.data = shm::UniqueFd(memory.data.Release()),
          .bell = shm::UniqueFd(memory.bell.Release()),
          .part = shm::UniqueFd(memory.part.Release())};
}

absl::StatusOr<ChannelConsumer> ConnectHandedOver(const Channel& found, absl::Duration timeout,
                                                  Messenger& messenger, const shm::ConsumerOptions& options) {
  const Deadline deadline(timeout);
  messenger.ProtectProcess();
  ConsumerSpec spec = {
      .channel = found.spec.name, .consumer_id = RandomSessionId(), .group = options.group.value_or("")};
  if (options.expected_schema.has_value()) {
    spec.expected_schema_hash = shm::HashOf(*options.expected_schema);
    spec.expected_schema_text = shm::CanonicalText(*options.expected_schema);
  }
  ChannelConsumer consumer;
  consumer.link = {.messenger = &messenger, .spec = spec, .options = options};
  consumer.registration =
      Registration(messenger, ConsumerClaim{.channel = spec.channel, .consumer_id = spec.consumer_id});
  absl::StatusOr<CollectedMemory> memory = RegisterAndCollect(consumer.link, deadline);
  if (!memory.ok()) return memory.status();
  consumer.link.part = memory->part_index;
  absl::StatusOr<std::unique_ptr<shm::DataBlockConsumer>> opened =
      shm::DataBlockConsumer::OpenSealed(DescriptorsOf(*std::move(memory)), options);
  if (!opened.ok()) return opened.status();
  consumer.block = *std::move(opened);
  return consumer;
}

// One attempt; kUnavailable and kNotFound may pass. `block` is what an attempt before this one attached to, if any: it is kept
// while it is the channel's, since a lossless producer may have written for this consumer already.
absl::StatusOr<ChannelConsumer> TryConnect(const std::string& channel, absl::Duration timeout,
                                           Messenger& messenger, const shm::ConsumerOptions& options,
                                           std::unique_ptr<shm::DataBlockConsumer>& block) {
  const absl::StatusOr<Channel> found = messenger.DiscoverProducer(channel, timeout);
  if (!found.ok()) return found.status();
  if (absl::Status status = CheckReachable(*found); !status.ok()) return status;
  if (found->spec.memory == MemoryKind::kHandedOver) {
    return ConnectHandedOver(*found, timeout, messenger, options);
  }
  if (block == nullptr) {
    absl::StatusOr<std::unique_ptr<shm::DataBlockConsumer>> opened =
        shm::DataBlockConsumer::Open(channel, options);
    if (!opened.ok()) return opened.status();
    block = *std::move(opened);
  }
  // A member of a group may have to read first what an earlier producer left.
  const bool drains_earlier = !block->group().empty() && !block->ProducerIsAlive();
  if (!drains_earlier && !IsCurrent(*block, *found, messenger)) {
    const std::string segment_id = block->segment_id().ToHex();
    block.reset();
    return absl::UnavailableError(absl::StrCat(
        "the broker has channel '", channel, "' with another segment than this host's (", segment_id,
        "): its producer is being restarted, or is not registered with this broker"));
  }
  absl::StatusOr<Registration> registration = Register(messenger, *block);
  if (!registration.ok()) return registration.status();
  return ChannelConsumer{.block = std::move(block), .registration = *std::move(registration)};
}

bool MayPass(const absl::Status& status) { return absl::IsUnavailable(status) || absl::IsNotFound(status); }

}  // namespace

void MemoryLoan::End() {
  if (source_ != nullptr) source_->Detach();
  source_.reset();
}

bool SharesMemoryWithThisProcess(const Channel& channel) {
  const ProcessInfo& producer = channel.spec.process;
  if (channel.spec.memory == MemoryKind::kHandedOver) {
    return producer.boot_id.empty() || ShareKernel(producer, ThisProcess());
  }
  return producer.boot_id.empty() || SharesMemory(producer, ThisProcess());
}

Registration& Registration::operator=(Registration&& other) noexcept {
  if (this == &other) return *this;
  Release();
  messenger_ = std::exchange(other.messenger_, nullptr);
  claim_ = std::move(other.claim_);
  return *this;
}

void Registration::Release() {
  Messenger* const messenger = std::exchange(messenger_, nullptr);
  if (messenger == nullptr) return;
  if (const auto* channel = std::get_if<ChannelClaim>(&claim_)) {
    (void)messenger->DeregisterProducer(channel->name);
  } else {
    (void)messenger->DeregisterConsumer(std::get<ConsumerClaim>(claim_));
  }
}

absl::StatusOr<ChannelProducer> CreateChannel(const shm::ChannelConfig& config, Messenger* messenger,
                                              const shm::WaitOptions& wait, MemoryChoice memory) {
  const absl::StatusOr<bool> handed_over = IsToBeHandedOver(config, messenger, memory);
  if (!handed_over.ok()) return handed_over.status();
  if (*handed_over) return CreateHandedOver(config, *messenger, wait);
  absl::StatusOr<std::unique_ptr<shm::DataBlockProducer>> block =
      shm::DataBlockProducer::Create(config, wait);
  if (!block.ok()) return block.status();
  if (messenger == nullptr) return ChannelProducer{.block = *std::move(block)};
  absl::StatusOr<Registration> registration = Register(*messenger, **block);
  if (!registration.ok()) return registration.status();
  return ChannelProducer{.block = *std::move(block), .registration = *std::move(registration)};
}

absl::StatusOr<ChannelConsumer> ConnectChannel(absl::string_view channel, absl::Duration timeout,
                                               Messenger* messenger, shm::ConsumerOptions options) {
  if (messenger == nullptr) {
    options.open_timeout = timeout;
    absl::StatusOr<std::unique_ptr<shm::DataBlockConsumer>> block =
        shm::DataBlockConsumer::Open(channel, options);
    if (!block.ok()) return block.status();
    return ChannelConsumer{.block = *std::move(block)};
  }
  options.open_timeout = absl::ZeroDuration();
  const Deadline deadline(timeout);
  Backoff backoff(kFirstRetry, kRetryLimit);
  std::unique_ptr<shm::DataBlockConsumer> block;
  while (true) {
    // A producer that was done before this consumer could register: what it left is there to be read.
    if (block != nullptr && !block->ProducerIsAlive()) return ChannelConsumer{.block = std::move(block)};
    const absl::Duration patience =
        block == nullptr ? deadline.left() : std::min(deadline.left(), kRetryLimit);
    absl::StatusOr<ChannelConsumer> connected =
        TryConnect(std::string(channel), patience, *messenger, options, block);
    const absl::Duration left = deadline.left();
    if (connected.ok() || !MayPass(connected.status()) || left == absl::ZeroDuration()) return connected;
    absl::SleepFor(std::min(backoff.Next(), left));
  }
}

absl::Status Follow(ChannelConsumer& consumer, absl::Duration timeout) {
  if (!consumer.is_handed_over()) return consumer.block->Follow(timeout);
  const Deadline deadline(timeout);
  HandOverLink& link = consumer.link;
  Backoff backoff(kFirstRetry, kRetryLimit);
  while (true) {
    const absl::StatusOr<Channel> found =
        link.messenger->DiscoverProducer(link.spec.channel, deadline.left());
    if (found.ok() && found->spec.segment_id != consumer.block->segment_id().bytes) break;
    const std::string why = ReasonOf(found.status());
    const bool may_appear = found.ok() || why == reason::kChannelNotFound || why == reason::kChannelNotReady;
    if (!may_appear) return found.status();
    const absl::Duration left = deadline.left();
    if (left == absl::ZeroDuration()) {
      return absl::DeadlineExceededError(
          absl::StrCat("channel '", link.spec.channel, "' has no next producer yet"));
    }
    absl::SleepFor(std::min(backoff.Next(), left));
  }
  absl::StatusOr<CollectedMemory> memory = RegisterAndCollect(link, deadline, consumer.block->segment_id());
  if (!memory.ok()) return memory.status();
  link.part = memory->part_index;
  const shm::ConsumerDescriptors descriptors = DescriptorsOf(*std::move(memory));
  absl::Status followed = consumer.block->Follow(descriptors);
  if (!absl::IsFailedPrecondition(followed)) return followed;
  // A segment that knows nothing of this one: it is read from where a newcomer begins.
  absl::StatusOr<std::unique_ptr<shm::DataBlockConsumer>> opened =
      shm::DataBlockConsumer::OpenSealed(descriptors, link.options);
  if (!opened.ok()) return opened.status();
  consumer.block = *std::move(opened);
  return absl::OkStatus();
}

}  // namespace pylabhub
