#include "shm/data_block_consumer.h"

#include <sys/random.h>

#include <algorithm>
#include <atomic>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "shm/channel/anchor.h"
#include "shm/channel/attachment.h"
#include "shm/channel/channel_files.h"
#include "shm/channel/invariant.h"
#include "shm/channel/membership.h"
#include "shm/channel/named_segment.h"
#include "shm/channel/sealed_segment.h"
#include "shm/channel/succession.h"
#include "shm/channel/successor_watch.h"
#include "shm/channel/wait.h"
#include "shm/channel/waitable.h"
#include "shm/channel/zone_wait.h"
#include "shm/os/crash_point.h"
#include "shm/os/deadline.h"
#include "shm/os/fork_guard.h"
#include "shm/os/futex.h"
#include "shm/ring/zone.h"

namespace pylabhub::shm {
namespace {

// Between reading the anchor and opening the segment a producer may come or go: then the anchor says
// something new.
constexpr int kOpenAttempts = 100;
constexpr const char* kOneAtATime = "a DataBlockConsumer has one ReadSlot or ReadBatch at a time";
constexpr absl::Duration kAnchorPoll = absl::Milliseconds(1);

uint64_t RandomToken() {
  uint64_t token = 0;
  while (token <= kReservationTaken) {
    Require(getrandom(&token, sizeof(token), 0) == sizeof(token), "the kernel has no random numbers");
  }
  return token;
}

absl::Status NoSuchChannel(const ChannelFiles& files) {
  return absl::NotFoundError(absl::StrCat("channel '", files.channel(), "' has no segment in ",
                                          files.directory(),
                                          "; start its producer first, or wait for it with open_timeout"));
}

}  // namespace

class DataBlockConsumer::State final : public Waitable {
 public:
  // Without files: for a segment that is handed over.
  State(std::optional<ChannelFiles> files, ConsumerOptions options)
      : files_(std::move(files)), options_(std::move(options)), token_(RandomToken()) {}

  ~State() {
    if (waiter() != nullptr) waiter()->Forget(*this);
    if (forked() || attachment_ == nullptr) return;
    Require(!attachment_->reader.holding(), "a ReadSlot outlives its DataBlockConsumer");
    Detach(std::move(attachment_));
  }

  absl::Status OpenSealed(const ConsumerDescriptors& descriptors) {
    return Attach(OpenSealedSegment(descriptors), NewApplicant());
  }

  // Attaches to the current segment, waiting for it as long as the options say.
  absl::Status Open() {
    const Deadline deadline(options_.open_timeout);
    for (int attempts = 0;;) {
      absl::Status status = TryOpen();
      if (!absl::IsNotFound(status) || refused_) return status;
      // Not found a moment after the anchor named it: look at the anchor again, for a while.
      if (deadline.passed() && ++attempts >= kOpenAttempts) return NoSuchChannel(*files_);
      if (deadline.passed() && !Anchor::Open(*files_).ok()) return NoSuchChannel(*files_);
      if (!deadline.passed()) absl::SleepFor(kAnchorPoll);
    }
  }

  absl::Status Follow(absl::Duration timeout) {
    if (absl::Status status = CheckProducerGone(); !status.ok()) return status;
    if (!files_.has_value()) {
      return absl::FailedPreconditionError(absl::StrCat(
          "channel '", channel(), "' has no name to find its next segment by; Follow its descriptors"));
    }
    const Deadline deadline(timeout);
    absl::Status last = absl::OkStatus();
    do {
      last = TryFollow(std::min(deadline.left(), absl::FromChrono(kLivenessInterval)));
      if (last.ok() || refused_ || !(absl::IsNotFound(last) || absl::IsDeadlineExceeded(last))) return last;
      // No anchor to wait on.
      if (absl::IsNotFound(last)) absl::SleepFor(kAnchorPoll);
    } while (!deadline.passed());
    return absl::DeadlineExceededError(
        absl::StrCat("channel '", channel(), "' has no new producer yet; call Follow again"));
  }

  absl::Status Follow(const ConsumerDescriptors& successor) {
    if (absl::Status status = CheckProducerGone(); !status.ok()) return status;
    absl::StatusOr<OpenedSegment> segment = OpenSealedSegment(successor);
    if (!segment.ok()) return segment.status();
    const DataView& own = attachment_->segment.data_view;
    const DataView& next = segment->data_view;
    if (next.config.channel != own.config.channel || next.predecessor_id != own.segment_id) {
      return absl::FailedPreconditionError(
          absl::StrCat("segment ", next.segment_id.ToHex(), " of channel '", next.config.channel,
                       "' does not follow segment ", own.segment_id.ToHex(), " of channel '",
                       own.config.channel, "'; Follow the one that does, or open it anew with OpenSealed"));
    }
    return Attach(std::move(segment), Successor());
  }

  // Waits until `try_acquire` says something else than kTimeout.
  template <typename TryAcquire>
  SlotResult WaitForSlot(absl::Duration timeout, TryAcquire try_acquire) {
    if (gone_ != SlotResult::kOk) return gone_;
    RingReader& ring = attachment_->reader;
    Wait wait(options_.wait, timeout);
    SlotResult result = SlotResult::kTimeout;
    const auto found = [&] { return (result = try_acquire()) != SlotResult::kTimeout; };
    bool slept = false;
    while (!wait.Spin(found)) {
      if (ProducerGone(wait.liveness_interval())) {
        // It may have committed between the last look at the ring and its end.
        if (!found())
          result = gone_ = ring.drained() ? SlotResult::kProducerClosed : SlotResult::kProducerDead;
        break;
      }
      if (wait.expired()) {
        found();  // what ProducerGone has seen beside the end
        break;
      }
      if (wait.may_sleep()) slept = Sleep(wait, found) || slept;
      if (result != SlotResult::kTimeout) break;
    }
    ring.CountWait(slept);
    return result;
  }

  // Where the views of a batch go; at most options_.max_batch of them.
  std::span<SlotView> RoomForBatch(size_t slots) {
    slots = std::min<size_t>(slots, options_.max_batch);
    if (batch_.size() < slots) batch_.resize(slots);
    return std::span(batch_).first(slots);
  }

  bool IsReady() const override {
    if (gone_ != SlotResult::kOk) return HasSuccessor();
    const RingReader& ring = attachment_->reader;
    return !ring.holding() && (ring.IsReady() || producer_is_dead_ || ring.drained());
  }

  void LookAtPeer() override {
    if (gone_ != SlotResult::kOk) return LookForSuccessor();
    if (producer_is_dead_ || attachment_->reader.holding()) return;
    const bool lives = attachment_->segment.ProducerLives();
    producer_is_dead_ = !FindMore() && !lives && attachment_->reader.NothingWillCome();
  }

  FutexWord BeginSleep() override {
    RingReader& ring = attachment_->reader;
    // Nothing is to be had before what is held is given back.
    if (gone_ == SlotResult::kOk && !ring.holding()) ring.BeginSleep();
    const std::atomic<uint64_t>& stamp = ring.expected_stamp();
    FutexWord word = {.word = LowHalf(stamp),
                      .expected = static_cast<uint32_t>(stamp.load(std::memory_order_relaxed))};
    // Nothing more comes from a producer that is gone: its successor is waited for.
    if (gone_ != SlotResult::kOk) return successor_.word().value_or(word);
    // It waits for another slot now, at another word: another value keeps it from sleeping at this one.
    if (ring.WasPassed()) word.expected = ~word.expected;
    return word;
  }
  void EndSleep(bool told) override {
    if (gone_ == SlotResult::kOk && !attachment_->reader.holding()) attachment_->reader.EndSleep(told);
  }
  bool PeerKnowsOfSleeps() const override {
    return gone_ != SlotResult::kOk || attachment_->reader.producer_knows_of_sleeps();
  }
  void CountWait() override { attachment_->reader.CountWait(/*slept=*/true); }

  bool forked() const { return generation_ != ForkGeneration(); }
  const Attachment& attachment() const { return *attachment_; }
  const WaitOptions& wait() const { return options_.wait; }
  RingReader& reader() { return attachment_->reader; }
  const std::string& group() const {
    static const std::string none;
    const uint32_t group = attachment_->group;
    return group == 0 ? none : attachment_->segment.data_view.config.groups[group - 1];
  }

 private:
  ReadOrder OrderFor(const ChannelConfig& config) const {
    if (options_.order.has_value()) return *options_.order;
    return config.policy == Policy::kLatestOnly ? ReadOrder::kLatest : ReadOrder::kNext;
  }

  const std::string& channel() const { return attachment_->segment.data_view.config.channel; }

  absl::Status CheckProducerGone() const {
    if (attachment_->reader.drained()) return absl::OkStatus();
    if (attachment_->segment.ProducerLives()) {
      return absl::FailedPreconditionError(
          absl::StrCat("channel '", channel(), "': its producer lives; Follow comes after it is gone"));
    }
    if (attachment_->reader.NothingWillCome()) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat(
        "channel '", channel(), "': its producer is gone, but group '", group(),
        "' still has slots of it to read; Follow comes after Acquire has said that the producer is gone"));
  }

  Applicant NewApplicant() const { return {.token = token_, .order = ReadOrder::kNext}; }
  // The same consumer, in the next segment.
  Applicant Successor() const {
    return {.token = token_,
            .order = ReadOrder::kNext,
            .keeps_place = true,
            .place = attachment_->membership.place};
  }

  absl::Status TryOpen() {
    const absl::StatusOr<Anchor> anchor = Anchor::Open(*files_);
    if (!anchor.ok()) return anchor.status();
    const SegmentId current = anchor->Read().segment_id;
    if (current.is_nil()) return NoSuchChannel(*files_);
    return Attach(OpenToJoin(current), NewApplicant());
  }

  absl::Status TryFollow(absl::Duration timeout) {
    const absl::StatusOr<Anchor> anchor = Anchor::Open(*files_);
    if (!anchor.ok()) return anchor.status();
    const Anchor::Current current = anchor->Read();
    const SegmentId own = attachment_->segment.data_view.segment_id;
    if (current.segment_id == own) {
      anchor->WaitForChange(current, timeout);
      return absl::DeadlineExceededError("");
    }
    followed_ = current.segment_id;
    const absl::StatusOr<SegmentId> next = SuccessorOf(*files_, own, current.segment_id);
    if (!next.ok()) return next.status();
    return Attach(OpenToJoin(*next), Successor());
  }

  absl::StatusOr<uint32_t> GroupIn(const ChannelConfig& config) const {
    return ChooseGroup(config, OrderFor(config), options_.group);
  }

  // Opens the segment, or the one that its group has to drain before that: which may be there although the other one, which
  // had nothing to read, is gone.
  absl::StatusOr<OpenedSegment> OpenToJoin(const SegmentId& segment_id) const {
    absl::StatusOr<OpenedSegment> segment = OpenNamedSegment(*files_, segment_id, Access::kReadWrite);
    if (!segment.ok() && !absl::IsNotFound(segment.status())) return segment;
    if (segment.ok() && segment->data_view.config.policy != Policy::kPipeline) return segment;
    const SegmentId first = FirstUndrainedSegment(
        *files_, segment_id, [this](const ChannelConfig& config) -> std::optional<uint32_t> {
          const absl::StatusOr<uint32_t> group = GroupIn(config);
          return group.ok() && *group != 0 ? std::optional(*group - 1) : std::nullopt;
        });
    if (first == segment_id) return segment;
    return OpenNamedSegment(*files_, first, Access::kReadWrite);
  }

  // Joins the segment, then leaves the one before, if any.
  absl::Status Attach(absl::StatusOr<OpenedSegment> segment, Applicant applicant) {
    if (!segment.ok()) return segment.status();
    if (absl::Status status = options_.CheckSchemas(segment->data_view.config); !status.ok()) return status;
    applicant.order = OrderFor(segment->data_view.config);
    applicant.max_batch = options_.max_batch;
    applicant.start = options_.start;
    applicant.when_slow = options_.when_slow;
    applicant.patience = options_.patience;
    const absl::StatusOr<uint32_t> group = GroupIn(segment->data_view.config);
    refused_ = !group.ok();
    if (refused_) return group.status();
    applicant.group = *group;
    const absl::StatusOr<Membership> membership = Join(*segment, applicant);
    if (!membership.ok()) return membership.status();
    PYLABHUB_CRASH_POINT("consumer.attach.joined");
    segment->data.Populate();
    auto attachment = std::make_unique<Attachment>(*std::move(segment), *membership, applicant);
    LetGo();
    std::swap(attachment, attachment_);
    gone_ = SlotResult::kOk;
    producer_is_dead_ = false;
    successor_.Close();
    followed_ = {};
    PYLABHUB_CRASH_POINT("consumer.attach.moved");
    if (attachment != nullptr) Detach(std::move(attachment));
    PYLABHUB_CRASH_POINT("consumer.attach.done");
    return absl::OkStatus();
  }

  void Detach(std::unique_ptr<Attachment> attachment) {
    Leave(attachment->segment, attachment->membership);
    PYLABHUB_CRASH_POINT("consumer.detach.left");
    const SegmentId segment_id = attachment->segment.data_view.segment_id;
    attachment.reset();
    PYLABHUB_CRASH_POINT("consumer.detach.unmapped");
    if (files_.has_value()) LeaveChannel(*files_, segment_id);
    PYLABHUB_CRASH_POINT("consumer.detach.done");
  }

  // True if nothing more will come from this segment: the producer said so, or the kernel does.
  bool ProducerGone(Wait::Clock::duration liveness_interval) {
    RingReader& ring = attachment_->reader;
    const bool is_known = ring.drained() || producer_is_dead_;
    if (!is_known && !liveness_.Due(liveness_interval)) return false;
    const bool lives = !is_known && attachment_->segment.ProducerLives();
    // After the look at the producer: whatever it did before its end is told first.
    return !FindMore() && (is_known || (!lives && ring.NothingWillCome()));
  }

  // True if there is something to acquire that no commit has told of.
  bool FindMore() { return attachment_->reader.LookBack() && attachment_->reader.IsReady(); }

  // True if the channel has gone on with a segment that Follow has not tried yet: where it failed, the caller knows.
  bool HasSuccessor() const {
    const SegmentId current = successor_.Current();
    return !current.is_nil() && current != attachment_->segment.data_view.segment_id && current != followed_;
  }

  void LookForSuccessor() {
    if (!successor_.IsStale()) return;
    LetGo();
    successor_.Reopen();
  }

  void LetGo() {
    if (waiter() != nullptr) waiter()->LetGo(*this);
  }

  template <typename Found>
  bool Sleep(const Wait& wait, Found found) {
    RingReader& ring = attachment_->reader;
    const bool first = !ring.producer_knows_of_sleeps();
    ring.BeginSleep();
    const std::atomic<uint64_t>& stamp = ring.expected_stamp();
    const auto seen = static_cast<uint32_t>(stamp.load(std::memory_order_relaxed));
    const uint64_t awaited = ring.expected_sequence();
    // If it finds that it was lapped, or that others of its group were faster, it waits for another slot now, at another word.
    const bool sleeps = !found() && !ring.drained() && ring.expected_sequence() == awaited;
    PYLABHUB_CRASH_POINT("consumer.sleep.about_to");
    const bool told = sleeps && FutexWait(LowHalf(stamp), seen, wait.SleepTime(first));
    PYLABHUB_CRASH_POINT("consumer.sleep.slept");
    ring.EndSleep(told);
    return sleeps;
  }

  std::optional<ChannelFiles> files_;
  ConsumerOptions options_;
  uint64_t token_;
  std::unique_ptr<Attachment> attachment_;
  LivenessTimer liveness_;
  bool refused_ = false;  // by a segment that is there: looking again will not help
  std::vector<SlotView> batch_;
  SlotResult gone_ = SlotResult::kOk;  // or how the producer of this segment went, as Acquire has said
  bool producer_is_dead_ = false;      // the kernel said so, to a WaitSet
  SuccessorWatch successor_{files_};   // open while a WaitSet waits for the next producer
  SegmentId followed_;                 // the last segment that Follow tried
  uint64_t generation_ = ForkGeneration();
};

absl::StatusOr<std::unique_ptr<DataBlockConsumer>> DataBlockConsumer::Open(absl::string_view channel,
                                                                           const ConsumerOptions& options) {
  if (absl::Status status = ValidateChannelName(channel); !status.ok()) return status;
  if (absl::Status status = options.Validate(); !status.ok()) return status;
  auto state = std::make_unique<State>(ChannelFiles(options.directory, channel), options);
  if (absl::Status status = state->Open(); !status.ok()) return status;
  return std::unique_ptr<DataBlockConsumer>(new DataBlockConsumer(std::move(state)));
}

absl::StatusOr<std::unique_ptr<DataBlockConsumer>> DataBlockConsumer::OpenSealed(
    const ConsumerDescriptors& descriptors, const ConsumerOptions& options) {
  if (absl::Status status = options.Validate(); !status.ok()) return status;
  auto state = std::make_unique<State>(std::nullopt, options);
  if (absl::Status status = state->OpenSealed(descriptors); !status.ok()) return status;
  return std::unique_ptr<DataBlockConsumer>(new DataBlockConsumer(std::move(state)));
}

DataBlockConsumer::DataBlockConsumer(std::unique_ptr<State> state) : state_(std::move(state)) {}
DataBlockConsumer::~DataBlockConsumer() = default;

// The view is written where the caller will find it. A copy would be read in larger words than it is written in, and
// would have to wait until every earlier store has reached the cache, those to lines that the producer holds too.
ReadSlot DataBlockConsumer::Acquire(absl::Duration timeout) {
  ReadSlot slot(SlotResult::kForked);
  if (state_->forked()) [[unlikely]]
    return slot;
  RingReader& reader = state_->reader();
  Require(!reader.holding(), kOneAtATime);
  slot.result_ = reader.TryAcquire(&slot.view_);
  if (slot.result_ == SlotResult::kTimeout) [[unlikely]]
    slot.result_ = state_->WaitForSlot(timeout, [&] { return reader.TryAcquire(&slot.view_); });
  if (slot.result_ == SlotResult::kOk) [[likely]]
    slot.reader_ = &reader;
  return slot;
}

ReadBatch DataBlockConsumer::AcquireBatch(size_t slots, absl::Duration timeout) {
  Require(slots != 0, "a ReadBatch has at least one slot");
  if (state_->forked()) return ReadBatch(SlotResult::kForked);
  RingReader& reader = state_->reader();
  Require(!reader.holding(), kOneAtATime);
  const std::span<SlotView> room = state_->RoomForBatch(slots);
  size_t taken = 0;
  SlotResult result = reader.TryAcquireBatch(room, &taken);
  if (result == SlotResult::kTimeout) [[unlikely]]
    result = state_->WaitForSlot(timeout, [&] { return reader.TryAcquireBatch(room, &taken); });
  if (result != SlotResult::kOk) [[unlikely]]
    return ReadBatch(result);
  return ReadBatch(&reader, room.first(taken));
}

absl::StatusOr<uint64_t> DataBlockConsumer::ReadZone(std::span<std::byte> target) const {
  if (state_->forked())
    return absl::FailedPreconditionError("the consumer belongs to the parent of this process");
  if (config().zone_bytes == 0) return NoZone(config());
  const std::optional<uint64_t> version = ZoneReader(state_->attachment().segment.data_view).Read(target);
  if (version.has_value()) return *version;
  return absl::UnavailableError(
      absl::StrCat("the zone of channel '", config().channel,
                   "' is written faster than it can be read; a zone is for data that "
                   "changes slowly"));
}

uint64_t DataBlockConsumer::zone_version() const {
  if (state_->forked() || config().zone_bytes == 0) return 0;
  return ZoneReader(state_->attachment().segment.data_view).version();
}

SlotResult DataBlockConsumer::WaitForZone(uint64_t after_version, absl::Duration timeout) const {
  if (state_->forked()) return SlotResult::kForked;
  return shm::WaitForZone(state_->attachment().segment, after_version, state_->wait(), timeout);
}

absl::Status DataBlockConsumer::Follow(absl::Duration timeout) {
  if (state_->forked())
    return absl::FailedPreconditionError("the consumer belongs to the parent of this process");
  Require(!state_->reader().holding(), "a ReadSlot outlives the segment that Follow leaves");
  return state_->Follow(timeout);
}

absl::Status DataBlockConsumer::Follow(const ConsumerDescriptors& successor) {
  if (state_->forked())
    return absl::FailedPreconditionError("the consumer belongs to the parent of this process");
  Require(!state_->reader().holding(), "a ReadSlot outlives the segment that Follow leaves");
  return state_->Follow(successor);
}

bool DataBlockConsumer::ProducerIsAlive() const {
  if (state_->forked()) return false;
  const OpenedSegment& segment = state_->attachment().segment;
  const bool closed = segment.data_view.header->wait.closed_at.load(std::memory_order_acquire) != 0;
  return !closed && segment.ProducerLives();
}

Waitable* DataBlockConsumer::waitable() { return state_->forked() ? nullptr : state_.get(); }

const ChannelConfig& DataBlockConsumer::config() const {
  return state_->attachment().segment.data_view.config;
}
const SchemaHash& DataBlockConsumer::schema_hash() const {
  return state_->attachment().segment.data_view.schema_hash;
}
const SegmentId& DataBlockConsumer::segment_id() const {
  return state_->attachment().segment.data_view.segment_id;
}

uint32_t DataBlockConsumer::place() const { return state_->attachment().membership.place; }
const std::string& DataBlockConsumer::group() const { return state_->group(); }

ConsumerStats DataBlockConsumer::Stats() const {
  if (state_->forked()) return {};
  const ConsumerEntry& entry = *state_->attachment().membership.entry;
  const auto read = [](const std::atomic<uint64_t>& counter) {
    return counter.load(std::memory_order_relaxed);
  };
  return {.received_slots = read(entry.received_slots),
          .received_bytes = read(entry.received_bytes),
          .missed_slots = read(entry.missed_slots),
          .waits = read(entry.waits),
          .sleeps = read(entry.sleeps),
          .corrupt_slots = read(entry.corrupt_slots),
          .redelivered_slots = read(entry.redelivered_slots)};
}

}  // namespace pylabhub::shm
