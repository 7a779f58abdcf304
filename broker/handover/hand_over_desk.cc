#include "broker/handover/hand_over_desk.h"

#include <sys/random.h>

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "broker/grpc_status.h"
#include "broker/handover/memory_check.h"
#include "broker/refusal.h"

namespace pylabhub::broker {
namespace {

// Enough to find a session in a log, not enough to speak for it.
constexpr size_t kSessionIdPrefixBytes = 8;
// Below what one packet takes, in descriptors and in bytes.
constexpr size_t kInheritedInPacket = 200;

std::string RandomBytes() {
  std::string bytes(TicketBook::kTicketBytes, '\0');
  // Never short, and never fails, for so few bytes on a system that has started.
  if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) abort();
  return bytes;
}

google::protobuf::Timestamp TimestampOf(absl::Time time) {
  google::protobuf::Timestamp out;
  const int64_t seconds = absl::ToUnixSeconds(time);
  out.set_seconds(seconds);
  out.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
  return out;
}

v1::HandedOverMemoryKind KindOf(MemoryRole role) {
  switch (role) {
    case MemoryRole::kData:
      return v1::HANDED_OVER_MEMORY_KIND_DATA;
    case MemoryRole::kBell:
      return v1::HANDED_OVER_MEMORY_KIND_BELL;
    case MemoryRole::kPart:
      return v1::HANDED_OVER_MEMORY_KIND_PART;
  }
  return v1::HANDED_OVER_MEMORY_KIND_UNSPECIFIED;
}

absl::StatusOr<Memory> FromProto(const v1::HandedOverMemory& from) {
  Memory memory = {
      .part = from.part(), .group = from.group(), .size_bytes = from.size_bytes(), .in_use = from.in_use()};
  switch (from.kind()) {
    case v1::HANDED_OVER_MEMORY_KIND_DATA:
      memory.role = MemoryRole::kData;
      break;
    case v1::HANDED_OVER_MEMORY_KIND_BELL:
      memory.role = MemoryRole::kBell;
      break;
    case v1::HANDED_OVER_MEMORY_KIND_PART:
      memory.role = MemoryRole::kPart;
      break;
    default:
      return RefuseFields({{"memories.kind", "must be DATA, BELL or PART"}});
  }
  if (memory.in_use && (memory.role != MemoryRole::kPart || !memory.group.empty())) {
    return RefuseFields({{"memories.in_use", "is for parts without a group"}});
  }
  if (from.with_descriptor() && !memory.in_use) {
    return RefuseFields({{"memories.with_descriptor", "is for parts in use"}});
  }
  if (memory.group.size() > 64) return RefuseFields({{"memories.group", "is longer than 64 bytes"}});
  return memory;
}

v1::HandedOverMemory ToProto(const Memory& memory) {
  v1::HandedOverMemory out;
  out.set_kind(KindOf(memory.role));
  out.set_part(memory.part);
  out.set_group(memory.group);
  out.set_size_bytes(memory.size_bytes);
  return out;
}

prometheus::Counter& CounterOf(Metrics& metrics, absl::string_view method, absl::string_view result) {
  return metrics.AddCounter("pylabhub_broker_hand_overs_total",
                            "Hand-overs of shared memory, by method (Deposit, Collect, Inherit) and result.",
                            {{"method", std::string(method)}, {"result", std::string(result)}});
}

absl::Status CheckNoneTwice(const std::vector<Memory>& memories, const std::string& channel) {
  std::set<FileId> files;
  for (const Memory& memory : memories) {
    if (!memory.descriptor.is_open() || files.insert(FileIdOf(memory.descriptor.get())).second) continue;
    return Refuse(Reason::kDepositRefused,
                  absl::StrCat("the ", NameOf(memory), " of channel \"", channel,
                               "\" is refused: it is the same memory as another"),
                  {{"channel", channel}, {"memory", NameOf(memory)}});
  }
  return absl::OkStatus();
}

}  // namespace

HandOverDesk::HandOverDesk(Options options, Metrics& metrics)
    : options_(std::move(options)),
      metrics_(metrics),
      tickets_(options_.ticket_ttl, RandomBytes),
      deposits_(options_.budget, options_.heartbeat_interval) {
  metrics.ReadGauge("pylabhub_broker_hand_over_descriptors",
                    "Descriptors of shared memory that are kept to be handed over.", {}, [this] {
                      absl::MutexLock lock(&mutex_);
                      return static_cast<double>(deposits_.descriptor_count());
                    });
  // There from the beginning, so that a rate can be made of them.
  for (const char* method : {"Deposit", "Collect", "Inherit"}) CounterOf(metrics, method, "OK");
}

bool HandOverDesk::Concerns(const ChannelView& channel) {
  return channel.spec->shared_memory.kind == MemoryKind::kHandedOver;
}

v1::HandOver HandOverDesk::HandOverFor(const TicketScope& scope) {
  const Ticket ticket = [&] {
    absl::MutexLock lock(&mutex_);
    return tickets_.Issue(scope, options_.now());
  }();
  v1::HandOver hand_over;
  hand_over.set_socket_path(options_.socket_path);
  hand_over.set_ticket(ticket.bytes);
  *hand_over.mutable_expire_time() = TimestampOf(ticket.expire_time);
  return hand_over;
}

v1::HandOver HandOverDesk::ForProducer(const std::string& session_id, const ChannelView& channel) {
  const bool has_predecessor = [&] {
    absl::MutexLock lock(&mutex_);
    deposits_.Open(channel);
    return deposits_.HasPredecessor(channel.spec->name);
  }();
  v1::HandOver hand_over = HandOverFor({.purpose = TicketPurpose::kDeposit,
                                        .session_id = session_id,
                                        .channel = channel.spec->name,
                                        .epoch = channel.epoch});
  hand_over.set_has_predecessor(has_predecessor);
  hand_over.set_keeps_parts_in_use(true);
  return hand_over;
}

v1::HandOver HandOverDesk::ForConsumer(const std::string& session_id, const std::string& consumer_id,
                                       const ChannelView& channel) {
  return HandOverFor({.purpose = TicketPurpose::kCollect,
                      .session_id = session_id,
                      .channel = channel.spec->name,
                      .epoch = channel.epoch,
                      .consumer_id = consumer_id});
}

std::vector<v1::HandOverTask> HandOverDesk::TasksOf(const std::string& session_id,
                                                    const std::vector<ChannelView>& channels) {
  std::vector<v1::HandOverTask> tasks;
  for (const ChannelView& channel : channels) {
    const DepositBook::Task task = [&] {
      absl::MutexLock lock(&mutex_);
      deposits_.Open(channel);
      return deposits_.TaskOf(channel.spec->name);
    }();
    if (task.empty()) continue;
    v1::HandOverTask& out = tasks.emplace_back();
    out.set_channel_name(channel.spec->name);
    out.set_segment_id(channel.spec->segment_id);
    out.set_deposit_again(task.deposit_again);
    out.mutable_retired_parts()->Add(task.retired_parts.begin(), task.retired_parts.end());
    out.set_move_on(task.move_on);
    out.mutable_excepted_parts()->Add(task.excepted_parts.begin(), task.excepted_parts.end());
    if (task.needs_ticket()) *out.mutable_hand_over() = ForProducer(session_id, channel);
  }
  return tasks;
}

void HandOverDesk::OnEvents(const std::vector<Event>& events) {
  absl::MutexLock lock(&mutex_);
  for (const Event& event : events) {
    if (!Concerns(event.channel)) continue;
    const std::string& name = event.channel.spec->name;
    switch (event.kind) {
      case EventKind::kChannelPending:
        deposits_.Open(event.channel);
        break;
      case EventKind::kConsumerLeft:
        deposits_.Leave(name, {event.consumer_session_id, event.consumer->spec.consumer_id},
                        event.leave_reason == LeaveReason::kRevoked, event.channel.revision);
        break;
      case EventKind::kChannelRemoved:
        deposits_.Forget(name, event.channel.epoch);
        break;
      default:
        break;
    }
  }
}

bool HandOverDesk::ProducerIsGone(const std::string& channel) {
  const handover::Descriptor data = [&] {
    absl::MutexLock lock(&mutex_);
    return deposits_.DuplicateData(channel);
  }();
  return data.is_open() && IsUnlocked(data.get());
}

absl::StatusOr<TicketScope> HandOverDesk::CheckTicket(const std::string& ticket, TicketPurpose purpose,
                                                      const handover::PeerCredentials& peer) {
  absl::MutexLock lock(&mutex_);
  return tickets_.Check(ticket, purpose, peer.uid, options_.now());
}

absl::Status HandOverDesk::Admit(const std::string& ticket, TicketPurpose purpose,
                                 const handover::PeerCredentials& peer, Audit& audit) {
  absl::StatusOr<TicketScope> scope = CheckTicket(ticket, purpose, peer);
  if (!scope.ok()) return scope.status();
  audit.scope = *std::move(scope);
  absl::StatusOr<Holding> holding = options_.find(audit.scope);
  if (!holding.ok()) return holding.status();
  audit.holding = *std::move(holding);
  return absl::OkStatus();
}

HandOverDesk::Reply HandOverDesk::Answer(const v1::HandOverRequest& request,
                                         std::vector<handover::Descriptor> descriptors,
                                         const handover::PeerCredentials& peer, PendingDeposit& pending) {
  Reply reply;
  Audit audit;
  absl::Status status;
  absl::string_view method = "Unknown";
  switch (request.request_case()) {
    case v1::HandOverRequest::kDeposit:
      method = "Deposit";
      status = Deposit(request.deposit(), std::move(descriptors), peer, pending, audit);
      if (!status.ok()) pending = PendingDeposit();
      break;
    case v1::HandOverRequest::kCollect:
      method = "Collect";
      status = descriptors.empty() ? Collect(request.collect(), peer, reply, audit)
                                   : RefuseFields({{"collect", "comes without descriptors"}});
      break;
    case v1::HandOverRequest::kInherit:
      method = "Inherit";
      status = descriptors.empty() ? Inherit(request.inherit(), peer, reply, audit)
                                   : RefuseFields({{"inherit", "comes without descriptors"}});
      break;
    default:
      status = RefuseFields({{"request", "must be deposit, collect or inherit"}});
  }
  // Set in any case: a message of no bytes cannot be told from the connection's end.
  *reply.message.mutable_status() = ToRpcStatus(status);
  if (!status.ok()) reply.descriptors.clear();
  const bool goes_on = status.ok() && request.deposit().more();
  if (!goes_on) Record(method, status, peer, audit);
  return reply;
}

absl::Status HandOverDesk::Deposit(const v1::DepositRequest& request,
                                   std::vector<handover::Descriptor> descriptors,
                                   const handover::PeerCredentials& peer, PendingDeposit& pending,
                                   Audit& audit) {
  const auto scope = CheckTicket(request.ticket(), TicketPurpose::kDeposit, peer);
  if (!scope.ok()) return scope.status();
  audit.scope = *scope;
  if (!pending.memories.empty() && pending.ticket != request.ticket()) {
    return RefuseFields({{"deposit.ticket", "must be that of the requests before, which said `more`"}});
  }
  pending.ticket = request.ticket();
  const auto& stated = request.memories();
  const auto has_descriptor = [](const v1::HandedOverMemory& memory) {
    return !memory.in_use() || memory.with_descriptor();
  };
  if (static_cast<size_t>(std::count_if(stated.begin(), stated.end(), has_descriptor)) !=
      descriptors.size()) {
    return RefuseFields({{"deposit.memories", "must be as many as the descriptors beside the packet"}});
  }
  auto next = descriptors.begin();
  for (const v1::HandedOverMemory& from : stated) {
    absl::StatusOr<Memory> memory = FromProto(from);
    if (!memory.ok()) return memory.status();
    if (has_descriptor(from)) {
      memory->descriptor = std::move(*next++);
      if (absl::Status status = CheckMemory(*memory, scope->channel); !status.ok()) return status;
    }
    pending.memories.push_back(*std::move(memory));
  }
  if (pending.memories.size() > options_.budget.max_descriptors) {
    return RefuseFields({{"deposit.memories", "are more than the broker keeps"}});
  }
  if (request.more()) return absl::OkStatus();
  return Finish(std::exchange(pending, PendingDeposit()), peer, audit);
}

absl::Status HandOverDesk::Finish(PendingDeposit pending, const handover::PeerCredentials& peer,
                                  Audit& audit) {
  absl::StatusOr<Holding> holding = options_.find(audit.scope);
  if (!holding.ok()) return holding.status();
  audit.holding = *std::move(holding);
  audit.memory = absl::StrCat(pending.memories.size(), " pieces");
  if (absl::Status status = CheckNoneTwice(pending.memories, audit.scope.channel); !status.ok()) {
    return status;
  }
  absl::MutexLock lock(&mutex_);
  // Whatever becomes of it: what was brought is not tried again with the same ticket.
  tickets_.Use(pending.ticket, peer.uid);
  deposits_.Open(audit.holding.channel);
  return deposits_.Deposit(audit.scope.channel, audit.scope.epoch, std::move(pending.memories));
}

absl::Status HandOverDesk::Inherit(const v1::InheritRequest& request, const handover::PeerCredentials& peer,
                                   Reply& reply, Audit& audit) {
  absl::Status status = Admit(request.ticket(), TicketPurpose::kDeposit, peer, audit);
  if (!status.ok()) return status;
  absl::MutexLock lock(&mutex_);
  absl::StatusOr<DepositBook::Inherited> inherited =
      deposits_.Inherit(audit.scope.channel, request.skip(), kInheritedInPacket);
  if (!inherited.ok()) return inherited.status();
  audit.memory = absl::StrCat(inherited->memories.size(), " pieces");
  v1::Inherited& out = *reply.message.mutable_inherited();
  out.set_segment_id(inherited->segment_id);
  out.set_more(inherited->more);
  for (Memory& memory : inherited->memories) {
    *out.add_memories() = ToProto(memory);
    reply.descriptors.push_back(std::move(memory.descriptor));
  }
  return absl::OkStatus();
}

absl::Status HandOverDesk::Collect(const v1::CollectRequest& request, const handover::PeerCredentials& peer,
                                   Reply& reply, Audit& audit) {
  absl::Status status = Admit(request.ticket(), TicketPurpose::kCollect, peer, audit);
  if (!status.ok()) return status;
  const TicketScope& scope = audit.scope;
  absl::MutexLock lock(&mutex_);
  absl::StatusOr<DepositBook::Collected> collected =
      deposits_.Collect(scope.channel, {scope.session_id, scope.consumer_id}, audit.holding.group,
                        request.onlooker(), audit.holding.channel.revision,
                        {.segment_id = request.segment_before(), .part = request.part_before()});
  if (!collected.ok()) return collected.status();
  tickets_.Use(request.ticket(), peer.uid);
  v1::Collected& out = *reply.message.mutable_collected();
  out.set_segment_id(collected->segment_id);
  for (Memory& memory : collected->memories) {
    *out.add_memories() = ToProto(memory);
    audit.memory = NameOf(memory);
    reply.descriptors.push_back(std::move(memory.descriptor));
  }
  return absl::OkStatus();
}

void HandOverDesk::Record(absl::string_view method, const absl::Status& status,
                          const handover::PeerCredentials& peer, const Audit& audit) {
  const auto details = DetailsOf(status);
  const std::string result = details.has_value() ? details->reason : absl::StatusCodeToString(status.code());
  CounterOf(metrics_, method, result).Increment();
  if (!options_.log) return;
  LogRecord record = {.level = status.ok() ? LogLevel::kInfo : LogLevel::kWarning, .event = "hand_over"};
  record.fields = {
      {"method", std::string(method)},  {"identity", audit.holding.identity},
      {"channel", audit.scope.channel}, {"session", audit.scope.session_id.substr(0, kSessionIdPrefixBytes)},
      {"uid", absl::StrCat(peer.uid)},  {"pid", absl::StrCat(peer.pid)},
      {"memory", audit.memory},         {"result", result}};
  if (!status.ok()) record.fields.emplace_back("message", status.message());
  options_.log(record);
}

}  // namespace pylabhub::broker
