#include "tests/chaos/sealed_scenario.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "shm/data_block_producer.h"
#include "shm/os/descriptor_passing.h"
#include "tests/chaos/children.h"
#include "tests/chaos/ledger.h"
#include "tests/chaos/sealed_books.h"
#include "tests/chaos/sealed_consumer.h"
#include "tests/chaos/sealed_producer.h"
#include "tests/support/socket_pair.h"

namespace pylabhub::chaos {
namespace {

using shm::HandedOver;
using shm::Policy;
using shm::SegmentId;

constexpr std::chrono::seconds kPatience{30};
constexpr uint64_t kZoneBytes = 304;

// Who deals the descriptors out, and judges.
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
      const auto end = children_.WaitForOne(deadline, Counters());
      if (end.has_value()) Judge(*end);
      if (std::chrono::steady_clock::now() < deadline) continue;
      for (int name = 0; name < kSealedProcesses; ++name) {
        if (children_.Runs(name)) Fault(absl::StrCat(NameOfProcess(name), " is stuck"));
      }
      children_.KillAll();
    }
    EndOrphan();
    for (int name = 0; name < kSealedProcesses; ++name) {
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
    return name == kSealedSuccessor || name <= static_cast<int>(Role::kNextProducer);
  }
  // Who takes the part of a dead one has its place.
  bool IsGuest(int name) const {
    return name == static_cast<int>(Role::kGuest) ||
           (name == kSealedReplacement && victim_->role == Role::kGuest);
  }
  static std::string NameOfProcess(int name) {
    if (name < static_cast<int>(kRoles)) return NameOf(static_cast<Role>(name));
    return name == kSealedSuccessor ? "successor" : "replacement";
  }
  void Fault(const std::string& what) { outcome_.faults.push_back(what); }

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
      const int socket = sockets_[name]->second();
      if (!IsProducing(name)) return SealedConsumer(config_, *books_, name, socket, !IsGuest(name)).Consume();
      return SealedProducer(config_, *books_, name, socket, part_sockets_[name]->second())
          .Produce(predecessors);
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

  // Where something comes that is to be served.
  std::vector<int> Counters() const {
    std::vector<int> counters;
    for (const auto* sockets : {&sockets_, &part_sockets_}) {
      for (const auto& [name, pair] : *sockets) counters.push_back(pair->first());
    }
    return counters;
  }

  // What came of producers first: somebody may have asked for it.
  void Serve() {
    for (const auto& [name, pair] : sockets_) {
      if (IsProducing(name)) TakeSegments(name);
    }
    for (const auto& [name, pair] : sockets_) {
      if (IsProducing(name)) continue;
      char ring = 0;
      while (recv(pair->first(), &ring, sizeof(ring), MSG_DONTWAIT) > 0) {
      }
      if (children_.Runs(name) && books_->desk[name].asks.load() == Books::kAsks) Answer(name);
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
      if (books_->over.load() == 0) return;
      desk.asks.store(Books::kToldNone);
      // It is to look there.
      send(sockets_[name]->first(), "-", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
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
      if (died) Start(kSealedReplacement);
      return;
    }
    // What it has sent, it has handed over.
    TakeSegments(end.name);
    if (end.name == static_cast<int>(Role::kFirstProducer)) {
      Start(static_cast<int>(Role::kNextProducer));
    } else if (died) {
      Start(kSealedSuccessor);
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
};

}  // namespace

Outcome PlayHandedOver(const Shape& shape, const std::optional<Victim>& victim,
                       const std::vector<std::string>& points) {
  return SealedScenario(shape, victim, points).Play();
}

}  // namespace pylabhub::chaos
