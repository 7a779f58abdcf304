#include "tests/chaos/sealed_scenario.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "shm/os/descriptor_passing.h"
#include "tests/chaos/children.h"
#include "tests/chaos/ledger.h"
#include "tests/chaos/payload.h"
#include "tests/support/socket_pair.h"

namespace pylabhub::chaos {
namespace {

using shm::ConsumerDescriptors;
using shm::DataBlockConsumer;
using shm::DataBlockProducer;
using shm::HandedOver;
using shm::Policy;
using shm::SegmentDescriptors;
using shm::SegmentId;
using shm::SlotResult;

constexpr std::chrono::seconds kPatience{30};
constexpr absl::Duration kStepTime = absl::Milliseconds(20);
constexpr uint32_t kSlots = 40;
constexpr uint32_t kRenewAt = 10;
constexpr uint32_t kMoveOnAt = 20;
constexpr uint64_t kZoneBytes = 304;
constexpr uint32_t kGuestPart = 1;
constexpr uint32_t kSegments = 16;
// The producer has looked at every part before a newcomer has had so many slots: from then on it waits for it.
constexpr uint32_t kSlotsToBeHeard = 6;

// Names of processes: the roles, and those who take the part of the dead.
constexpr int kSuccessor = kRoles;
constexpr int kReplacement = kRoles + 1;
constexpr int kProcesses = kRoles + 2;

// Of a desk.
constexpr uint32_t kAsks = 1;
constexpr uint32_t kToldNone = 2;  // there will be none

// What everybody says where it outlives them.
struct Books {
  struct Segment {
    SegmentCell id;
    Cell<uint64_t> attempted;  // slots for which Commit was called
    Cell<uint64_t> confirmed;  // slots for which it said kOk
  };
  // One process's questions to who deals the descriptors out.
  struct Desk {
    Cell<uint32_t> asks;  // kAsks: for the segment after `after`, or for the newest if that is nil
    Cell<uint32_t> part;
    SegmentCell after;
    Text fault;
  };
  Cell<uint32_t> segments;
  Segment segment[kSegments];
  Desk desk[kProcesses];
  Cell<uint32_t> over;  // no producer comes any more
  Cell<uint64_t> delivered;
  Passings passings[kRoles];
};

class SealedScenario {
 public:
  SealedScenario(const Shape& shape, const std::optional<Victim>& victim,
                 const std::vector<std::string>& points)
      : victim_(victim), points_(points) {
    config_ = {.channel = "crash.sealed",
               .policy = shape.policy,
               .buffering = shape.buffering,
               .capacity_slots = shape.capacity_slots,
               .slot_bytes = shape.slot_bytes,
               .max_consumers = 3,
               .min_consumers = 1,
               .reservation_ttl = absl::Minutes(1),
               .zone_bytes = kZoneBytes};
    config_ = config_.WithDefaults();
  }

  Outcome Play() {
    Start(static_cast<int>(Role::kFirstProducer));
    Start(static_cast<int>(Role::kResident));
    Start(static_cast<int>(Role::kGuest));
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!children_.empty()) {
      Serve();
      const auto end = children_.WaitForOne(std::chrono::steady_clock::now() + std::chrono::milliseconds(1));
      if (end.has_value()) Judge(*end);
      if (std::chrono::steady_clock::now() < deadline) continue;
      for (int name = 0; name < kProcesses; ++name) {
        if (children_.Runs(name)) Fault(absl::StrCat(NameOfProcess(name), " is stuck"));
      }
      children_.KillAll();
    }
    EndOrphan();
    for (int name = 0; name < kProcesses; ++name) {
      const Text& fault = books_->desk[name].fault;
      if (!fault.empty()) Fault(absl::StrCat(NameOfProcess(name), ": ", fault.str()));
    }
    outcome_.delivered = books_->delivered.load();
    for (size_t role = 0; role < kRoles; ++role) {
      for (size_t i = 0; i < points_.size(); ++i)
        outcome_.passings[role].push_back(books_->passings[role].count[i].load());
    }
    return std::move(outcome_);
  }

 private:
  bool shares() const { return config_.policy == Policy::kPipeline; }
  static bool IsProducing(int name) {
    return name == kSuccessor || name <= static_cast<int>(Role::kNextProducer);
  }
  // Who takes the part of a dead one has its place.
  bool IsGuest(int name) const {
    return name == static_cast<int>(Role::kGuest) || (name == kReplacement && victim_->role == Role::kGuest);
  }
  static std::string NameOfProcess(int name) {
    if (name < static_cast<int>(kRoles)) return NameOf(static_cast<Role>(name));
    return name == kSuccessor ? "successor" : "replacement";
  }
  void Fault(const std::string& what) { outcome_.faults.push_back(what); }

  // --- who deals the descriptors out

  void Start(int name) {
    sockets_[name] = std::make_unique<testing::SocketPair>();
    part_sockets_[name] = std::make_unique<testing::SocketPair>();
    const uint32_t predecessors = static_cast<uint32_t>(chain_.size());
    children_.Start(name, [this, name, predecessors] {
      if (name < static_cast<int>(kRoles)) {
        std::vector<AtPoint> plan;
        if (victim_.has_value() && static_cast<int>(victim_->role) == name)
          plan.push_back({victim_->point, victim_->passing, [this] { Die(victim_->death, *orphan_); }});
        WatchCrashPoints(points_, books_->passings[name], std::move(plan));
      }
      return IsProducing(name) ? Produce(name, predecessors) : Consume(name, !IsGuest(name));
    });
    if (!IsProducing(name)) return;
    for (const HandedOver& segment : chain_) {
      const absl::Status sent =
          SendWholeSegment(sockets_[name]->first(), segment.descriptors, "", absl::FromChrono(kPatience));
      if (!sent.ok()) Fault(absl::StrCat("a predecessor was not sent: ", sent.ToString()));
    }
  }

  static bool HasCome(int socket) {
    pollfd waits = {.fd = socket, .events = POLLIN, .revents = 0};
    return poll(&waits, 1, 0) == 1;
  }

  void Serve() {
    for (int name = 0; name < kProcesses; ++name) {
      if (!sockets_.contains(name)) continue;
      if (IsProducing(name)) {
        TakeSegments(name);
      } else if (children_.Runs(name) && books_->desk[name].asks.load() == kAsks) {
        Answer(name);
      }
    }
  }
  void TakeSegments(int name) {
    while (HasCome(sockets_[name]->first())) {
      auto received = shm::ReceiveWholeSegment(sockets_[name]->first(), absl::Seconds(5));
      if (!received.ok()) return Fault(absl::StrCat("no segment came: ", received.status().ToString()));
      chain_.push_back({*SegmentId::FromHex(received->note), std::move(received->descriptors)});
    }
    while (HasCome(part_sockets_[name]->first())) {
      auto parcel = shm::ReceiveParcel(part_sockets_[name]->first(), 1, absl::Seconds(5));
      if (!parcel.ok()) return Fault(absl::StrCat("no part came: ", parcel.status().ToString()));
      for (HandedOver& segment : chain_) {
        if (segment.segment_id.ToHex() == parcel->note)
          segment.descriptors.parts[kGuestPart] = std::move(parcel->descriptors[0]);
      }
    }
  }
  void Answer(int name) {
    Books::Desk& desk = books_->desk[name];
    const SegmentId after = desk.after.load();
    auto wanted = chain_.end();
    if (after.is_nil()) {
      if (!chain_.empty()) wanted = std::prev(chain_.end());
    } else {
      wanted = std::find_if(chain_.begin(), chain_.end(),
                            [&](const HandedOver& segment) { return segment.segment_id == after; });
      if (wanted != chain_.end()) ++wanted;
    }
    if (wanted == chain_.end()) {
      if (books_->over.load() != 0) desk.asks.store(kToldNone);
      return;
    }
    desk.asks.store(0);
    const auto descriptors = wanted->descriptors.ForConsumer(desk.part.load());
    if (!descriptors.ok() ||
        !SendSegment(sockets_[name]->first(), *descriptors, "", absl::FromChrono(kPatience)).ok())
      Fault("descriptors were not sent");
  }

  void Judge(const Children::End& end) {
    const bool is_victim = victim_.has_value() && end.name == static_cast<int>(victim_->role);
    const int deadly = is_victim && victim_->death == Death::kAbort ? SIGABRT : SIGKILL;
    const bool died = is_victim && end.signal == deadly;
    outcome_.victim_died = outcome_.victim_died || died;
    if (!died && end.exit_code != 0)
      Fault(absl::StrCat(NameOfProcess(end.name), " ended with ", end.exit_code, ", signal ", end.signal));
    if (!IsProducing(end.name)) {
      if (died) Start(kReplacement);
      return;
    }
    // What it has sent, it has handed over.
    TakeSegments(end.name);
    if (end.name == static_cast<int>(Role::kFirstProducer)) {
      Start(static_cast<int>(Role::kNextProducer));
    } else if (died) {
      Start(kSuccessor);
    } else {
      books_->over.store(1);
    }
  }

  // The child that lived on holds nothing up, so it has been let live until now.
  void EndOrphan() {
    const pid_t orphan = orphan_->load();
    if (orphan == 0) return;
    if (kill(orphan, SIGKILL) != 0) Fault("the forked child did not outlive its parent");
    waitpid(orphan, nullptr, 0);
  }

  // --- a producer

  bool HandOver(int name, const HandedOver& segment) {
    const uint32_t index = books_->segments.add(1);
    if (index >= kSegments) return false;
    books_->segment[index].id.store(segment.segment_id);
    current_ = index;
    return SendWholeSegment(sockets_[name]->second(), segment.descriptors, segment.segment_id.ToHex(),
                            absl::FromChrono(kPatience))
        .ok();
  }

  int Produce(int name, uint32_t predecessors) {
    Text& fault = books_->desk[name].fault;
    std::vector<SegmentDescriptors> chain;
    for (uint32_t i = 0; i < predecessors; ++i) {
      auto received = shm::ReceiveWholeSegment(sockets_[name]->second(), absl::FromChrono(kPatience));
      if (!received.ok()) return 10;
      chain.push_back(std::move(received->descriptors));
    }
    auto created = DataBlockProducer::CreateSealed(config_, {.spin = absl::ZeroDuration()}, chain);
    chain.clear();
    if (!created.ok()) {
      fault.Say(created.status().ToString());
      return 11;
    }
    DataBlockProducer& producer = **created;
    if (!HandOver(name, *producer.DuplicateDescriptors())) return 12;
    for (uint32_t i = 0; i < kSlots; ++i) {
      if (i == kRenewAt && !shares() && !RenewGuest(name, producer)) return 13;
      if (i == kMoveOnAt) MoveOn(name, producer);
      if (i % 5 == 0 && !PutZone(producer)) return 14;
      if (const SlotResult result = Put(producer); result != SlotResult::kOk) {
        fault.Say(absl::StrCat("slot ", i, ": ", std::string(shm::NameOf(result))));
        return 15;
      }
    }
    return 0;
  }

  bool RenewGuest(int name, DataBlockProducer& producer) {
    const auto renewed = producer.RenewParts(SegmentId(), std::vector<uint32_t>{kGuestPart});
    if (!renewed.ok()) return false;
    const int descriptor = renewed->descriptors[0].get();
    return shm::SendParcel(part_sockets_[name]->second(), {&descriptor, 1}, renewed->segment_id.ToHex(),
                           absl::FromChrono(kPatience))
        .ok();
  }

  void MoveOn(int name, DataBlockProducer& producer) {
    std::vector<uint32_t> except;
    if (!shares()) except.push_back(kGuestPart);
    producer.RequestMoveOn(except, [this, name](const absl::StatusOr<HandedOver>& successor) {
      if (!successor.ok() || !HandOver(name, *successor))
        books_->desk[name].fault.Say(absl::StrCat("did not move on: ", successor.status().ToString()));
    });
  }

  static bool PutZone(DataBlockProducer& producer) {
    const std::vector<std::byte> zone(kZoneBytes, static_cast<std::byte>(producer.next_sequence() + 1));
    return producer.WriteZone(zone).ok();
  }

  SlotResult Put(DataBlockProducer& producer) {
    shm::WriteSlot slot = producer.Acquire(absl::FromChrono(kPatience));
    if (!slot) return slot.result();
    // It may have moved on only now.
    Books::Segment& book = books_->segment[current_];
    const PayloadId id{.generation = current_ + 1, .sequence = producer.next_sequence()};
    BeginPayload(slot.payload(), id);
    FinishPayload(slot.payload(), id);
    book.attempted.store(id.sequence + 1);
    const SlotResult result = slot.Commit(slot.payload().size());
    if (result == SlotResult::kOk) book.confirmed.store(id.sequence + 1);
    return result;
  }

  // --- a consumer

  // Descriptors of the segment after `after`, or of the newest; none if there will be none.
  std::optional<ConsumerDescriptors> Ask(int name, const SegmentId& after, uint32_t part) {
    Books::Desk& desk = books_->desk[name];
    desk.after.store(after);
    desk.part.store(part);
    desk.asks.store(kAsks);
    while (desk.asks.load() != kToldNone) {
      auto received = shm::ReceiveSegment(sockets_[name]->second(), kStepTime);
      if (received.ok()) return std::move(received->descriptors);
    }
    return std::nullopt;
  }

  int Consume(int name, bool stays) {
    Text& fault = books_->desk[name].fault;
    const uint32_t part = stays || shares() ? 0 : kGuestPart;
    std::unique_ptr<DataBlockConsumer> consumer;
    SegmentId after;
    // It had joined the segment before while that was written, so that its place is kept in the next.
    bool is_heir = false;
    for (;;) {
      const std::optional<ConsumerDescriptors> descriptors = Ask(name, after, part);
      if (!descriptors.has_value()) return 0;
      const bool follows = consumer != nullptr;
      const absl::Status attached = follows ? consumer->Follow(*descriptors) : Open(*descriptors, consumer);
      if (!attached.ok()) {
        // Its place is still kept for the one before, or its part was replaced just then.
        const bool comes_by_itself =
            absl::IsResourceExhausted(attached) || absl::IsFailedPrecondition(attached);
        if (follows || !comes_by_itself) {
          fault.Say(attached.ToString());
          return 20;
        }
        // Or it is kept for ever, in a segment whose producer is gone, for one that is dead.
        if (books_->over.load() != 0) return 0;
        absl::SleepFor(absl::Milliseconds(1));
        continue;
      }
      const SlotResult end = ReadAll(fault, *consumer, stays, follows && is_heir, is_heir);
      after = consumer->segment_id();
      if (!fault.empty()) return 21;
      if (end == SlotResult::kCutOff) after = SegmentId();
      // The guest comes as somebody else each time.
      if (end == SlotResult::kCutOff || (!stays && !shares())) consumer = nullptr;
    }
  }

  static absl::Status Open(const ConsumerDescriptors& descriptors,
                           std::unique_ptr<DataBlockConsumer>& consumer) {
    auto opened = DataBlockConsumer::OpenSealed(descriptors, {.wait = {.spin = absl::ZeroDuration()}});
    if (!opened.ok()) return opened.status();
    consumer = *std::move(opened);
    return absl::OkStatus();
  }

  uint32_t IndexOf(const SegmentId& id) const {
    uint32_t index = 0;
    while (index < kSegments && books_->segment[index].id.load() != id) ++index;
    return index;
  }

  // To the end of the segment, or until it is cut off.
  SlotResult ReadAll(Text& fault, DataBlockConsumer& consumer, bool stays, bool from_the_start,
                     bool& got_any) {
    const uint32_t index = IndexOf(consumer.segment_id());
    // Who is evicted is given no more, from when it does not know.
    const bool counts = stays && shm::IsLossless(config_.policy) && !shares();
    std::optional<uint64_t> next;
    if (from_the_start && counts) next = 0;
    uint32_t got = 0;
    for (;;) {
      // Nothing may be missed, not even if it is told.
      const bool waited_for = counts && (from_the_start || got >= kSlotsToBeHeard);
      CheckZone(fault, consumer);
      const SlotResult result = ReadOne(fault, consumer, index, waited_for, next);
      if (result == SlotResult::kOk) ++got;
      got_any = got != 0;
      if (result == SlotResult::kOk || result == SlotResult::kTimeout) continue;
      const bool lost = waited_for && result != SlotResult::kCutOff && next.has_value() &&
                        *next < books_->segment[index].confirmed.load();
      if (lost) fault.Say(absl::StrCat("slots from ", *next, " on were lost"));
      return result;
    }
  }

  static void CheckZone(Text& fault, const DataBlockConsumer& consumer) {
    std::vector<std::byte> zone(kZoneBytes);
    if (!consumer.ReadZone(zone).ok() || zone != std::vector<std::byte>(kZoneBytes, zone[0]))
      fault.Say("a torn zone");
  }

  // `next`: the number that comes next, once one is known.
  SlotResult ReadOne(Text& fault, DataBlockConsumer& consumer, uint32_t index, bool waited_for,
                     std::optional<uint64_t>& next) {
    shm::ReadSlot slot = consumer.Acquire(kStepTime);
    if (!slot) return slot.result();
    const std::optional<PayloadId> id = ReadPayload(slot.payload());
    const bool right = id.has_value() && id->generation == index + 1 && id->sequence == slot.sequence();
    if (slot.Release() == SlotResult::kOk && !right)
      fault.Say(absl::StrCat("slot ", slot.sequence(), " is torn"));
    if (!shares() && next.has_value() &&
        (slot.sequence() < *next || (waited_for && slot.sequence() != *next)))
      fault.Say(absl::StrCat("slot ", slot.sequence(), " came after ", *next));
    if (slot.sequence() >= books_->segment[index].attempted.load()) fault.Say("a slot that nobody wrote");
    next = slot.sequence() + 1;
    books_->delivered.add(1);
    return SlotResult::kOk;
  }

  const std::optional<Victim>& victim_;
  const std::vector<std::string>& points_;
  shm::ChannelConfig config_;
  Shared<Books> books_;
  Shared<Cell<pid_t>> orphan_;
  std::map<int, std::unique_ptr<testing::SocketPair>> sockets_;
  std::map<int, std::unique_ptr<testing::SocketPair>> part_sockets_;
  std::vector<HandedOver> chain_;  // oldest first
  Children children_;
  Outcome outcome_;
  uint32_t current_ = 0;  // in a producer's process: its segment
};

}  // namespace

Outcome PlayHandedOver(const Shape& shape, const std::optional<Victim>& victim,
                       const std::vector<std::string>& points) {
  return SealedScenario(shape, victim, points).Play();
}

}  // namespace pylabhub::chaos
