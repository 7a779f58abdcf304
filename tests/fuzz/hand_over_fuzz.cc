// What anybody may send to the socket on which memory is handed over: arbitrary requests, with tickets that are good and that are
// not, and descriptors of every kind beside them, while channels come, go and are taken over.
//
// An input is a program: each step registers a channel or a consumer, lets one leave, or is a packet.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "broker/handover/hand_over_desk.h"
#include "broker/metrics.h"
#include "broker/refusal.h"
#include "tests/broker/handover/sealed_memory.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/require.h"

namespace pylabhub::broker {
namespace {

using fuzz::Input;
using fuzz::Require;
using testing::SealedMemory;

constexpr size_t kMaxDescriptors = 24;
constexpr int kMaxSteps = 48;
const std::array<std::string, 2> kChannels = {"camera", "robot"};
const std::array<std::string, 3> kSessions = {"session-1", "session-2", "session-3"};

handover::Descriptor Any(uint64_t kind) {
  switch (kind) {
    case 0:
      return SealedMemory(testing::kDataSeals);
    case 1:
    case 2:
      return SealedMemory(testing::kPartSeals);
    case 3:
      return SealedMemory(0);
    case 4:
      return SealedMemory(testing::kPartSeals, 0);
    default:
      return handover::Descriptor(open("/dev/null", O_RDONLY | O_CLOEXEC));
  }
}

// The lowest number that is free: the same again when nothing was leaked.
int NextDescriptor() { return handover::Descriptor(open("/dev/null", O_RDONLY | O_CLOEXEC)).get(); }

class World {
 public:
  World() {
    for (const std::string& name : kChannels) Register(name, 's', "producer");
  }

  void Step(Input& input) {
    const std::string& channel = kChannels[input.Below(kChannels.size())];
    const std::string& session = kSessions[input.Below(kSessions.size())];
    switch (input.Below(8)) {
      case 0:
        Register(channel, static_cast<char>('a' + input.Below(3)),
                 input.Below(4) == 0 ? "other" : "producer");
        tickets_.push_back(desk_.ForProducer(session, views_.at(channel)).ticket());
        break;
      case 1:
        tickets_.push_back(desk_.ForConsumer(session, "", views_.at(channel)).ticket());
        break;
      case 2:
        Leave(channel, session, input.Below(2) == 0);
        break;
      case 3:
        for (const v1::HandOverTask& task : desk_.TasksOf(session, {views_.at(channel)})) {
          Require(!task.channel_name().empty(), "a task is about a channel");
          if (task.has_hand_over()) tickets_.push_back(task.hand_over().ticket());
        }
        break;
      default:
        Send(input);
    }
    now_ += absl::Milliseconds(static_cast<int64_t>(input.Below(64)));
  }

 private:
  void Register(const std::string& name, char segment, const std::string& identity) {
    auto spec = std::make_shared<ChannelSpec>();
    spec->name = name;
    spec->segment_id = std::string(16, segment);
    spec->shared_memory.kind = MemoryKind::kHandedOver;
    views_[name] = {.spec = spec, .epoch = ++epoch_, .revision = epoch_, .producer_identity = identity};
    desk_.OnEvents({{.kind = EventKind::kChannelPending, .channel = views_[name]}});
  }

  void Leave(const std::string& channel, const std::string& session, bool revoked) {
    desk_.OnEvents({{.kind = EventKind::kConsumerLeft,
                     .channel = views_.at(channel),
                     .consumer = std::make_shared<ConsumerView>(),
                     .leave_reason = revoked ? LeaveReason::kRevoked : LeaveReason::kDeregistered,
                     .consumer_session_id = session}});
  }

  // The packet is what the input says, but that its ticket may be a good one.
  void Send(Input& input) {
    const uint64_t ticket = input.Byte();
    std::vector<handover::Descriptor> descriptors;
    for (uint64_t count = input.Below(8); count > 0; --count) descriptors.push_back(Any(input.Below(7)));
    const size_t bytes = std::min<size_t>(input.Byte(), input.rest().size());
    v1::HandOverRequest request;
    std::string packet;
    for (size_t i = 0; i < bytes; ++i) packet.push_back(static_cast<char>(input.Byte()));
    if (!request.ParseFromString(packet)) return;
    if (!tickets_.empty() && ticket < 224) {
      const std::string& good = tickets_[ticket % tickets_.size()];
      if (request.has_deposit()) request.mutable_deposit()->set_ticket(good);
      if (request.has_collect()) request.mutable_collect()->set_ticket(good);
      if (request.has_inherit()) request.mutable_inherit()->set_ticket(good);
    }
    const HandOverDesk::Reply reply =
        desk_.Answer(request, std::move(descriptors), {.pid = 1, .uid = ticket % 8 == 0 ? 1u : 0u}, pending_);
    Require(reply.message.has_status(), "an answer says how it went");
    const bool is_ok = reply.message.status().code() == 0;
    Require(is_ok || !reply.message.status().message().empty(), "a refusal says why");
    Require(is_ok || reply.descriptors.empty(), "who is refused gets nothing");
    Require(!request.has_deposit() || reply.descriptors.empty(), "a deposit is answered with nothing");
    const int stated = reply.message.collected().memories_size() + reply.message.inherited().memories_size();
    Require(static_cast<size_t>(stated) == reply.descriptors.size(), "what comes is what is said to come");
    for (const handover::Descriptor& descriptor : reply.descriptors) {
      Require((fcntl(descriptor.get(), F_GET_SEALS) & F_SEAL_SHRINK) != 0, "what comes was checked");
    }
  }

  absl::Time now_ = absl::UnixEpoch();
  uint64_t epoch_ = 0;
  std::map<std::string, ChannelView> views_;
  Metrics metrics_;
  HandOverDesk desk_{{.socket_path = "/s",
                      .ticket_ttl = absl::Seconds(1),
                      .budget = {.max_descriptors = kMaxDescriptors, .max_descriptors_per_identity = 16},
                      .find = [this](const TicketScope& scope) -> absl::StatusOr<Holding> {
                        if (scope.epoch != views_.at(scope.channel).epoch) {
                          return Refuse(Reason::kNotRegistered, "it is registered anew");
                        }
                        return Holding{.channel = views_.at(scope.channel)};
                      },
                      .now = [this] { return now_; }},
                     metrics_};
  PendingDeposit pending_;
  std::vector<std::string> tickets_;
};

}  // namespace
}  // namespace pylabhub::broker

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  const int before = pylabhub::broker::NextDescriptor();
  {
    pylabhub::broker::World world;
    pylabhub::fuzz::Input input(data, bytes);
    for (int step = 0; step < pylabhub::broker::kMaxSteps && !input.empty(); ++step) world.Step(input);
  }
  pylabhub::fuzz::Require(pylabhub::broker::NextDescriptor() == before, "no descriptor is leaked");
  return 0;
}
