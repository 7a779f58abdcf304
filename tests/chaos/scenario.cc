#include "tests/chaos/scenario.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "shm/data_block_producer.h"
#include "shm/os/crash_point.h"
#include "tests/chaos/children.h"
#include "tests/chaos/janitor.h"
#include "tests/chaos/ledger.h"
#include "tests/chaos/payload.h"
#include "tests/chaos/reader.h"
#include "tests/chaos/sealed_scenario.h"
#include "tests/chaos/staging.h"
#include "tests/chaos/writer.h"
#include "tests/support/shm_folder.h"

namespace pylabhub::chaos {
namespace {

using shm::Policy;

// Far more than anybody needs, also under a sanitizer on a busy machine: who takes longer is stuck.
constexpr std::chrono::seconds kPatience{30};
constexpr absl::Duration kStepTime = absl::Milliseconds(20);
constexpr uint32_t kGuestSlots = 7;  // before it leaves and comes back
constexpr uint32_t kBatchSlots = 3;
constexpr uint64_t kZoneBytes = 304;

// Names of processes: a role's first, and those who take the part of the dead.
constexpr int kSuccessor = 100;
constexpr int kReplacement = 101;
constexpr int kSweeper = 102;
constexpr int kShortLived = 103;

class Scenario {
 public:
  Scenario(const Shape& shape, const std::optional<Victim>& victim, const std::vector<std::string>& points)
      : shape_(shape), victim_(victim), points_(points) {
    folder_.AllowLeftovers();
    config_ = {.channel = "crash.point",
               .policy = shape.policy,
               .buffering = shape.buffering,
               .capacity_slots = shape.capacity_slots,
               .slot_bytes = shape.slot_bytes,
               .max_consumers = shape.policy == Policy::kSingleReader ? 1u : 4u,
               .max_pins = shape.script == Script::kPins    ? 1u
                           : shape.script == Script::kBatch ? 2 * kBatchSlots
                                                            : 0u,
               .min_consumers = has_resident() && shape.script != Script::kPins ? 2u : 1u,
               .reservation_ttl = absl::Minutes(1),
               .directory = folder_.path()};
    if (shape.script == Script::kBatch) config_.checksum = shm::Checksum::kEnforced;
    if (shape.script == Script::kZone) config_.zone_bytes = kZoneBytes;
    config_ = config_.WithDefaults();
  }

  Outcome Play() {
    StartRole(Role::kFirstProducer);
    if (shape_.script == Script::kHeldByDead) {
      StartShortLived();
    } else {
      StartRole(Role::kGuest);
    }
    if (has_resident()) StartRole(Role::kResident);
    if (shape_.script == Script::kJanitor) StartRole(Role::kJanitor);
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!children_.empty()) {
      const std::optional<Children::End> end = children_.WaitForOne(deadline);
      if (end.has_value()) {
        Judge(*end);
        continue;
      }
      for (int name = 0; name <= kShortLived; ++name) {
        if (children_.Runs(name)) Fault(absl::StrCat(NameOfProcess(name), " is stuck"));
      }
      children_.KillAll();
    }
    Sweep();
    EndOrphan();
    JudgeLedger();
    return std::move(outcome_);
  }

 private:
  bool has_resident() const { return shape_.policy != Policy::kSingleReader; }

  static std::string NameOfProcess(int name) {
    if (name < static_cast<int>(kRoles)) return NameOf(static_cast<Role>(name));
    return name == kSuccessor     ? "successor"
           : name == kReplacement ? "replacement"
           : name == kSweeper     ? "sweeper"
                                  : "guest before the guest";
  }

  void Fault(const std::string& what) { outcome_.faults.push_back(what); }

  void StartRole(Role role) {
    children_.Start(static_cast<int>(role), [this, role] {
      std::vector<AtPoint> plan = staging_.PlanOf(role);
      if (victim_.has_value() && victim_->role == role) {
        plan.push_back({victim_->point, victim_->passing, [this] { Die(victim_->death, *orphan_); }});
      }
      WatchCrashPoints(points_, passings_->of_role[static_cast<size_t>(role)], std::move(plan));
      if (role == Role::kJanitor) return Clean();
      return IsProducer(role) ? Produce(role == Role::kNextProducer)
                              : Consume(role == Role::kGuest, role == Role::kResident);
    });
  }

  // A process that takes the part of a dead one, to the end.
  void StartInstead(int name) {
    children_.Start(name, [this, name] {
      return name == kSuccessor ? Produce(/*follows=*/true) : Consume(false, false);
    });
  }

  // A guest before the guest, which dies as the script says.
  void StartShortLived() {
    children_.Start(kShortLived, [this] {
      WatchCrashPoints(points_, passings_->of_others,
                       {{"caller.holds_slot", 3, [this] { Die(Death::kKill, *orphan_); }}});
      return Consume(false, false);
    });
  }

  void Judge(const Children::End& end) {
    if (end.name == kShortLived && end.signal == SIGKILL) {
      StartRole(Role::kGuest);
      return;
    }
    const bool is_victim = victim_.has_value() && end.name == static_cast<int>(victim_->role);
    const int deadly = is_victim && victim_->death == Death::kAbort ? SIGABRT : SIGKILL;
    const bool died = is_victim && end.signal == deadly;
    outcome_.victim_died = outcome_.victim_died || died;
    if (!died && end.exit_code != 0) {
      Fault(absl::StrCat(NameOfProcess(end.name), " ended with ", end.exit_code, ", signal ", end.signal));
    }
    if (end.name == static_cast<int>(Role::kJanitor)) return;
    const bool consumed = end.name == static_cast<int>(Role::kGuest) ||
                          end.name == static_cast<int>(Role::kResident) || end.name == kReplacement;
    if (consumed && died) StartInstead(kReplacement);
    if (consumed) return;
    if (end.name == static_cast<int>(Role::kFirstProducer)) {
      StartRole(Role::kNextProducer);
    } else if (died) {
      StartInstead(kSuccessor);
    } else {
      ledger_->no_more_producers.store(1);
    }
  }

  int Produce(bool follows) {
    staging_.BeforeProducer(follows);
    if (shape_.script == Script::kRefusal && !AskForTooMuch()) return 2;
    Writer writer(*ledger_);
    if (absl::Status status = writer.Create(config_, Waits()); !status.ok()) {
      ledger_->of_generation(ledger_->NewGeneration()).fault.Say(status.ToString());
      return 3;
    }
    for (uint32_t i = 0; i < staging_.slots(); ++i) {
      if (i == staging_.slots() / 4 &&
          writer.PutAndAbort(absl::FromChrono(kPatience)) != shm::SlotResult::kOk)
        return 4;
      staging_.BeforeSlot(i);
      if (shape_.script == Script::kZone && i % 3 == 0 && !writer.PutZone(PayloadBytes(i)).ok()) return 9;
      const shm::SlotResult result = Put(writer, i);
      if (result == shm::SlotResult::kOk) continue;
      writer.record().fault.Say(absl::StrCat("slot ", i, ": ", std::string(shm::NameOf(result))));
      return 5;
    }
    return 0;
  }

  shm::SlotResult Put(Writer& writer, uint32_t i) const {
    const absl::Duration patience = absl::FromChrono(kPatience);
    if (shape_.script != Script::kBatch) return writer.Put(PayloadBytes(i), patience);
    const std::array<size_t, kBatchSlots> sizes = {PayloadBytes(i), PayloadBytes(i + 1), PayloadBytes(i + 2)};
    return writer.PutBatch(sizes, patience);
  }

  bool AskForTooMuch() const {
    shm::ChannelConfig config = config_;
    config.slot_bytes = shm::kMaxSlotBytes;
    config.capacity_slots =
        shape_.buffering == shm::Buffering::kRingBuffer ? shm::kMaxCapacitySlots : config.capacity_slots;
    config.max_pins = 1024;
    return absl::IsResourceExhausted(shm::DataBlockProducer::Create(config).status());
  }

  size_t PayloadBytes(uint32_t i) const {
    const size_t most = shape_.slot_bytes / sizeof(uint64_t) * sizeof(uint64_t);
    const size_t less = size_t{24} * i % (most - kMinPayloadBytes + 8);
    return i % 3 == 0 ? most : kMinPayloadBytes + less / 8 * 8;
  }

  // Until the last producer is gone. What there is to clean up are channels whose producers died at once.
  int Clean() {
    while (ledger_->no_more_producers.load() == 0) {
      const pid_t child = fork();
      if (child == 0) {
        shm::SetCrashHook(nullptr);
        shm::ChannelConfig config = config_;
        config.channel = "crash.leftover";
        const auto producer = shm::DataBlockProducer::Create(config);
        // Without a word to anybody.
        _exit(0);
      }
      waitpid(child, nullptr, 0);
      if (const int failure = CleanOnce(folder_.path()); failure != 0) return failure;
    }
    return 0;
  }

  int Consume(bool comes_and_goes, bool is_resident) {
    Reader reader(*ledger_, config_, Options(is_resident));
    uint32_t got = 0;
    for (;;) {
      // Before the step: what it finds is then final.
      const bool over = ledger_->no_more_producers.load() != 0;
      switch (reader.Next(kStepTime)) {
        case Reader::Step::kFailed:
          return 6;
        case Reader::Step::kSlot:
          if (++got == kGuestSlots && comes_and_goes) reader.Leave();
          break;
        case Reader::Step::kEnded:
          if (shape_.script == Script::kDoorway) reader.Leave();
          break;
        case Reader::Step::kNothing:
          if (over && reader.waits_for_producer()) return 0;
          break;
        case Reader::Step::kMoved:
          break;
      }
    }
  }

  shm::ConsumerOptions Options(bool is_resident) const {
    shm::ConsumerOptions options;
    options.order = shape_.policy == Policy::kLatestOnly ? shm::ReadOrder::kLatest : shm::ReadOrder::kNext;
    options.wait = Waits();
    if (shape_.script == Script::kBatch) options.max_batch = kBatchSlots;
    if (!is_resident) return options;
    if (shape_.script == Script::kDropped) options.when_slow = shm::WhenSlow::kDropBacklog;
    if (shape_.script == Script::kCutOff) options.when_slow = shm::WhenSlow::kCutOff;
    options.patience = absl::Milliseconds(2);
    return options;
  }

  // Everybody sleeps as soon as it can; but for the calm, where they spin.
  shm::WaitOptions Waits() const {
    return {.spin = shape_.script == Script::kCalm ? absl::Milliseconds(1) : absl::ZeroDuration()};
  }

  // The next life of the channel removes all that a crash left.
  void Sweep() {
    children_.Start(kSweeper, [this] {
      if (!shm::DataBlockProducer::Create(config_).ok()) return 7;
      return shape_.script == Script::kJanitor ? CleanOnce(folder_.path()) : 0;
    });
    const std::optional<Children::End> end =
        children_.WaitForOne(std::chrono::steady_clock::now() + kPatience);
    if (!end.has_value() || end->exit_code != 0) Fault("no producer can take over in the end");
    children_.KillAll();
    for (const std::string& name : folder_.Files()) Fault(absl::StrCat("left behind: ", name));
  }

  // The child that lived on holds nothing up, so it has been let live until now.
  void EndOrphan() {
    const pid_t orphan = orphan_->load();
    if (orphan == 0) return;
    if (kill(orphan, SIGKILL) != 0) Fault("the forked child did not outlive its parent");
    waitpid(orphan, nullptr, 0);
  }

  void JudgeLedger() {
    for (uint32_t generation = 1; generation <= ledger_->producers.load(); ++generation) {
      const ProducerRecord& record = ledger_->of_generation(generation);
      if (!record.fault.empty()) Fault(absl::StrCat("producer ", generation, ": ", record.fault.str()));
      if (record.misnumbered.load() != 0) Fault(absl::StrCat("producer ", generation, " got a wrong number"));
    }
    for (uint32_t i = 0; i < ledger_->consumers.load(); ++i) {
      const ConsumerRecord& record = ledger_->consumer[i];
      outcome_.delivered += record.delivered.load();
      if (!record.fault.empty()) Fault(absl::StrCat("consumer ", i, ": ", record.fault.str()));
    }
    if (shape_.policy == Policy::kPipeline) JudgeGroup();
    for (size_t role = 0; role < kRoles; ++role) {
      for (size_t i = 0; i < points_.size(); ++i)
        outcome_.passings[role].push_back(passings_->of_role[role].count[i].load());
    }
  }

  void JudgeGroup() {
    const uint64_t damaged = shape_.script == Script::kDamage ? 2 : 0;
    for (uint32_t generation = 1; generation <= ledger_->producers.load(); ++generation) {
      const uint64_t lost = CountNeverDelivered(*ledger_, generation);
      if (lost > damaged) Fault(absl::StrCat(lost, " slots of generation ", generation, " went to nobody"));
    }
  }

  const Shape& shape_;
  const std::optional<Victim>& victim_;
  const std::vector<std::string>& points_;
  testing::ShmFolder folder_;
  shm::ChannelConfig config_;
  Shared<Ledger> ledger_;
  Shared<RolePassings> passings_;
  Staging staging_{shape_, config_, points_, *ledger_, *passings_};
  Shared<Cell<pid_t>> orphan_;
  Children children_;
  Outcome outcome_;
};

}  // namespace

const char* NameOf(Role role) {
  switch (role) {
    case Role::kFirstProducer:
      return "first producer";
    case Role::kNextProducer:
      return "next producer";
    case Role::kResident:
      return "resident";
    case Role::kGuest:
      return "guest";
    case Role::kJanitor:
      return "janitor";
  }
  return "";
}

Outcome Play(const Shape& shape, const std::optional<Victim>& victim,
             const std::vector<std::string>& points) {
  if (shape.script == Script::kHandedOver) return PlayHandedOver(shape, victim, points);
  return Scenario(shape, victim, points).Play();
}

}  // namespace pylabhub::chaos
