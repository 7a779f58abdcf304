#include "client/channel_handle.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "client/steady_now.h"

namespace pylabhub {
namespace {

// How long a wait goes on before it is looked whether the handle was closed meanwhile.
constexpr absl::Duration kSlice = absl::Milliseconds(50);

// What becomes of a handle; events may bring it from another thread.
class Fate {
 public:
  // The first reason counts.
  void Close(absl::Status why) {
    const std::lock_guard lock(mutex_);
    if (!why_.ok()) return;
    why_ = std::move(why);
    closed_.store(true, std::memory_order_release);
  }
  // Acquire is not needed: the reason is read under its lock, and seeing the flag late costs one more slot.
  bool is_closed() const { return closed_.load(std::memory_order_relaxed); }
  absl::Status why() const {
    const std::lock_guard lock(mutex_);
    return why_;
  }

 private:
  std::atomic<bool> closed_ = false;
  mutable std::mutex mutex_;
  absl::Status why_;  // guarded by mutex_
};

absl::Status NoChannel() { return absl::FailedPreconditionError("the handle is of no channel"); }

absl::Status Forked(const std::string& name) {
  return absl::FailedPreconditionError(
      absl::StrCat("channel '", name, "' belongs to the parent of this process; open it again"));
}

bool IsPipeline(shm::Policy policy) { return policy == shm::Policy::kPipeline; }

absl::Status CheckPattern(const std::string& name, ChannelPattern wanted, bool is_pipeline) {
  if (is_pipeline == (wanted == ChannelPattern::kPipeline)) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("channel '", name, "' is ", is_pipeline ? "a pipeline" : "published and subscribed to",
                   "; connect with the pattern ",
                   NameOf(is_pipeline ? ChannelPattern::kPipeline : ChannelPattern::kPublishSubscribe)));
}

}  // namespace

absl::string_view NameOf(ChannelPattern pattern) {
  return pattern == ChannelPattern::kPipeline ? "pipeline" : "publish_subscribe";
}

class ChannelHandle::State {
 public:
  State(std::string name, ChannelPattern pattern, bool is_producer, Messenger* messenger)
      : name_(std::move(name)), pattern_(pattern), is_producer_(is_producer), messenger_(messenger) {
    if (messenger_ == nullptr || !is_producer_) return;
    listener_ = messenger_->Listen([fate = fate_, name = name_](const MessengerEvent& event) {
      const bool is_of_a_producer = event.consumer_id.empty();
      if (event.kind == MessengerEventKind::kRegistrationLost && is_of_a_producer && event.channel == name) {
        fate->Close(event.status);
      }
    });
  }
  ~State() {
    if (listener_ != 0) messenger_->StopListening(listener_);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  void Take(ChannelProducer producer) {
    schema_hash_ = shm::HashOf(producer.block->config().schema);
    producer_ = std::move(producer);
  }
  void Take(ChannelConsumer consumer, bool follow, int64_t producer_pid) {
    producer_pid_ = producer_pid;
    schema_hash_ = consumer.block->schema_hash();
    consumer_ = std::move(consumer);
    follows_ = follow;
  }
  void TakeRemote(const Channel& channel) {
    schema_hash_ = channel.spec.schema_hash;
    host_ = channel.spec.process.host;
  }

  const std::string& name() const { return name_; }
  ChannelPattern pattern() const { return pattern_; }
  bool is_producer() const { return is_producer_; }
  bool has_shm() const { return producer_.block != nullptr || consumer_.block != nullptr; }
  const shm::SchemaHash& schema_hash() const { return schema_hash_; }
  shm::DataBlockProducer* producer() { return producer_.block.get(); }
  shm::DataBlockConsumer* consumer() { return consumer_.block.get(); }
  Fate& fate() { return *fate_; }

  // OK while the handle is open.
  absl::Status Why() {
    if (!has_shm() && !fate_->is_closed()) LookWhetherRemoteIsClosing();
    return fate_->is_closed() ? fate_->why() : absl::OkStatus();
  }

  absl::Status NoMemory() const {
    return absl::FailedPreconditionError(absl::StrCat("channel '", name_, "' is produced on host '", host_,
                                                      "', whose shared memory this process cannot reach; run "
                                                      "this end there"));
  }

  absl::Status Send(std::span<const std::byte> bytes, absl::Duration timeout);
  absl::StatusOr<shm::ReadSlot> Receive(absl::Duration timeout);

 private:
  void LookWhetherRemoteIsClosing();
  bool MayHaveMovedOn(shm::SlotResult how);
  // OK: go on with Acquire.
  absl::Status AfterProducer(shm::SlotResult how, absl::Duration patience);

  const std::string name_;
  const ChannelPattern pattern_;
  const bool is_producer_;
  Messenger* const messenger_;
  const std::shared_ptr<Fate> fate_ = std::make_shared<Fate>();
  EventListeners::Id listener_ = 0;
  shm::SchemaHash schema_hash_ = {};
  bool follows_ = false;
  int64_t producer_pid_ = 0;  // of a consumer with a broker: as its producer sees itself
  absl::Time closed_since_ = absl::InfiniteFuture();  // when the producer was first found to have closed
  std::string host_;                                  // where there is no memory: the producer's
  ChannelProducer producer_;
  ChannelConsumer consumer_;
};

void ChannelHandle::State::LookWhetherRemoteIsClosing() {
  const WarmDirectory& directory = messenger_->directory();
  const bool covered = directory.Covers(name_);
  const WarmDirectory::ChannelPtr known = directory.FindLastKnown(name_);
  if (!covered || (known != nullptr && known->state != ChannelState::kClosing)) return;
  fate_->Close(absl::NotFoundError(absl::StrCat("the broker says that channel '", name_, "' is closing")));
}

absl::Status ChannelHandle::State::Send(std::span<const std::byte> bytes, absl::Duration timeout) {
  shm::DataBlockProducer& block = *producer_.block;
  for (absl::Duration left = timeout;; left -= kSlice) {
    if (fate_->is_closed()) return fate_->why();
    shm::WriteSlot slot = block.Acquire(std::clamp(left, absl::ZeroDuration(), kSlice));
    if (slot) {
      if (bytes.size() > slot.payload().size()) {
        slot.Abort();
        return absl::InvalidArgumentError(absl::StrCat(bytes.size(),
                                                       " bytes do not go into a slot of channel '", name_,
                                                       "', which has ", block.config().slot_bytes));
      }
      std::memcpy(slot.payload().data(), bytes.data(), bytes.size());
      slot.Commit(bytes.size());
      return absl::OkStatus();
    }
    if (slot.result() == shm::SlotResult::kForked) return Forked(name_);
    if (left <= kSlice) {
      return absl::DeadlineExceededError(absl::StrCat("no slot of channel '", name_, "' was free within ",
                                                      absl::FormatDuration(timeout),
                                                      ": a consumer holds it up"));
    }
  }
}

absl::StatusOr<shm::ReadSlot> ChannelHandle::State::Receive(absl::Duration timeout) {
  for (absl::Duration left = timeout;; left -= kSlice) {
    if (fate_->is_closed()) return fate_->why();
    const absl::Duration patience = std::clamp(left, absl::ZeroDuration(), kSlice);
    shm::ReadSlot slot = consumer_.block->Acquire(patience);
    if (slot) return slot;
    switch (slot.result()) {
      case shm::SlotResult::kProducerClosed:
      case shm::SlotResult::kProducerDead:
        if (absl::Status status = AfterProducer(slot.result(), patience); !status.ok()) return status;
        break;
      case shm::SlotResult::kCorrupt:
        return absl::DataLossError(
            absl::StrCat("a slot of channel '", name_, "' was corrupt, and is skipped"));
      case shm::SlotResult::kCutOff:
        fate_->Close(absl::ResourceExhaustedError(
            absl::StrCat("this consumer of channel '", name_,
                         "' held its producer up for too long, and was cut off; connect again")));
        return fate_->why();
      case shm::SlotResult::kForked:
        return Forked(name_);
      default:
        break;
    }
    if (left <= kSlice) {
      return absl::DeadlineExceededError(
          absl::StrCat("nothing came through channel '", name_, "' within ", absl::FormatDuration(timeout)));
    }
  }
}

absl::Status ChannelHandle::State::AfterProducer(shm::SlotResult how, absl::Duration patience) {
  if (follows_ || MayHaveMovedOn(how)) {
    const absl::Status followed = Follow(consumer_, patience);
    if (followed.ok()) closed_since_ = absl::InfiniteFuture();
    if (followed.ok() || absl::IsDeadlineExceeded(followed)) return absl::OkStatus();
    fate_->Close(followed);
  } else if (how == shm::SlotResult::kProducerClosed) {
    fate_->Close(absl::NotFoundError(absl::StrCat("the producer of channel '", name_, "' closed it")));
  } else {
    fate_->Close(absl::NotFoundError(absl::StrCat("the producer of channel '", name_, "' died")));
  }
  return fate_->why();
}

// A producer of handed-over memory goes on in a fresh segment when somebody's right to it was revoked: it has not gone. The broker
// knows that a moment later than the memory says that there is nothing more.
bool ChannelHandle::State::MayHaveMovedOn(shm::SlotResult how) {
  constexpr absl::Duration kGrace = absl::Seconds(2);
  if (!consumer_.is_handed_over() || how != shm::SlotResult::kProducerClosed) return false;
  closed_since_ = std::min(closed_since_, SteadyNow());
  const absl::StatusOr<Channel> now = messenger_->DiscoverProducer(name_, absl::ZeroDuration());
  if (!now.ok()) return false;
  if (now->spec.segment_id == consumer_.block->segment_id().bytes)
    return SteadyNow() < closed_since_ + kGrace;
  return now->spec.process.pid == producer_pid_;
}

ChannelHandle::ChannelHandle()
    : ChannelHandle(std::make_unique<State>("", ChannelPattern::kPublishSubscribe, false, nullptr)) {
  state_->fate().Close(NoChannel());
}
ChannelHandle::ChannelHandle(std::unique_ptr<State> state) : state_(std::move(state)) {}
ChannelHandle::ChannelHandle(ChannelHandle&&) noexcept = default;
ChannelHandle& ChannelHandle::operator=(ChannelHandle&&) noexcept = default;
ChannelHandle::~ChannelHandle() = default;

const std::string& ChannelHandle::name() const { return state_->name(); }
ChannelPattern ChannelHandle::pattern() const { return state_->pattern(); }
bool ChannelHandle::is_producer() const { return state_->is_producer(); }
bool ChannelHandle::has_shm() const { return state_->has_shm(); }
bool ChannelHandle::is_valid() const { return state_ != nullptr && state_->Why().ok(); }
absl::Status ChannelHandle::why_invalid() const { return state_ == nullptr ? NoChannel() : state_->Why(); }
shm::DataBlockProducer* ChannelHandle::producer() { return state_->producer(); }
shm::DataBlockConsumer* ChannelHandle::consumer() { return state_->consumer(); }

void ChannelHandle::invalidate() {
  state_->fate().Close(
      absl::CancelledError(absl::StrCat("the handle of channel '", name(), "' was invalidated")));
}

absl::Status ChannelHandle::Send(std::span<const std::byte> bytes, absl::Duration timeout) {
  if (state_->producer() != nullptr) return state_->Send(bytes, timeout);
  if (absl::Status why = state_->Why(); !why.ok()) return why;
  if (!state_->has_shm()) return state_->NoMemory();
  return absl::InvalidArgumentError(
      absl::StrCat("the handle of channel '", name(), "' is a consumer's: it receives"));
}

absl::StatusOr<shm::ReadSlot> ChannelHandle::Receive(absl::Duration timeout) {
  if (state_->consumer() != nullptr) return state_->Receive(timeout);
  if (absl::Status why = state_->Why(); !why.ok()) return why;
  if (!state_->has_shm()) return state_->NoMemory();
  return absl::InvalidArgumentError(
      absl::StrCat("the handle of channel '", name(), "' is a producer's: it sends"));
}

absl::Status ChannelHandle::CheckSchema(const shm::SchemaHash& hash) const {
  if (state_->schema_hash() == hash || state_->fate().is_closed()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "SCHEMA_MISMATCH: channel '", name(), "' is not of this type; use the one that it was created with"));
}

absl::StatusOr<ChannelHandle> CreateChannel(absl::string_view name, ChannelPattern pattern,
                                            Messenger* messenger, CreateOptions options) {
  options.config.channel = std::string(name);
  if (pattern == ChannelPattern::kPipeline) {
    options.config.policy = shm::Policy::kPipeline;
  } else {
    options.config.policy = options.lossless ? shm::Policy::kSyncReader : shm::Policy::kPublishSubscribe;
  }
  // Listens before it registers, so that no loss is missed.
  auto state = std::make_unique<ChannelHandle::State>(std::string(name), pattern, true, messenger);
  absl::StatusOr<ChannelProducer> producer =
      CreateChannel(options.config, messenger, options.wait, options.memory);
  if (!producer.ok()) return producer.status();
  state->Take(*std::move(producer));
  return ChannelHandle(std::move(state));
}

absl::StatusOr<ChannelHandle> ConnectChannel(absl::string_view name, ChannelPattern pattern,
                                             absl::Duration timeout, Messenger* messenger,
                                             ConnectChannelOptions options) {
  const std::string channel(name);
  auto state = std::make_unique<ChannelHandle::State>(channel, pattern, false, messenger);
  const auto start = std::chrono::steady_clock::now();
  int64_t producer_pid = 0;
  if (messenger != nullptr) {
    const absl::StatusOr<Channel> found = messenger->DiscoverProducer(channel, timeout);
    if (!found.ok()) return found.status();
    producer_pid = found->spec.process.pid;
    if (!SharesMemoryWithThisProcess(*found)) {
      const auto policy = found->spec.metadata.find("policy");
      const bool is_pipeline = policy != found->spec.metadata.end() && policy->second == "pipeline";
      if (absl::Status status = CheckPattern(channel, pattern, is_pipeline); !status.ok()) return status;
      state->TakeRemote(*found);
      return ChannelHandle(std::move(state));
    }
  }
  const absl::Duration left =
      std::max(timeout - absl::FromChrono(std::chrono::steady_clock::now() - start), absl::ZeroDuration());
  absl::StatusOr<ChannelConsumer> consumer =
      ConnectChannel(name, left, messenger, std::move(options.consumer));
  if (!consumer.ok()) return consumer.status();
  const bool is_pipeline = IsPipeline(consumer->block->config().policy);
  if (absl::Status status = CheckPattern(channel, pattern, is_pipeline); !status.ok()) return status;
  state->Take(*std::move(consumer), options.follow, producer_pid);
  return ChannelHandle(std::move(state));
}

}  // namespace pylabhub
