#include "broker/handover/deposit_book.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "broker/refusal.h"

namespace pylabhub::broker {
namespace {

// Places of 1,024 consumers that look on, and eight groups.
constexpr size_t kMaxParts = 1'032;

absl::Status RefuseDeposit(const std::string& channel, absl::string_view memory, absl::string_view why) {
  return Refuse(Reason::kDepositRefused,
                absl::StrCat("what was brought for channel \"", channel, "\" is refused: ", why),
                {{"channel", channel}, {"memory", std::string(memory)}});
}

absl::Status CheckIsWhole(const std::string& channel, const std::vector<Memory>& memories) {
  size_t data = 0;
  size_t bells = 0;
  std::set<uint32_t> parts;
  for (const Memory& memory : memories) {
    data += memory.role == MemoryRole::kData ? 1 : 0;
    bells += memory.role == MemoryRole::kBell ? 1 : 0;
    if (memory.role == MemoryRole::kPart && !parts.insert(memory.part).second) {
      return RefuseDeposit(channel, "part", absl::StrCat("part ", memory.part, " came twice"));
    }
  }
  if (data != 1) return RefuseDeposit(channel, "data", "it must have one data");
  if (bells != 1) return RefuseDeposit(channel, "bell", "it must have one bell");
  if (parts.empty() || parts.size() > kMaxParts) {
    return RefuseDeposit(channel, "part", absl::StrCat("it must have 1 to ", kMaxParts, " parts"));
  }
  return absl::OkStatus();
}

Memory CopyOf(const Memory& memory) {
  return {.role = memory.role, .size_bytes = memory.size_bytes, .descriptor = memory.descriptor.Duplicate()};
}

}  // namespace

DepositBook::Channel* DepositBook::Find(absl::string_view channel) {
  const auto found = channels_.find(channel);
  return found == channels_.end() ? nullptr : &found->second;
}
const DepositBook::Channel* DepositBook::Find(absl::string_view channel) const {
  const auto found = channels_.find(channel);
  return found == channels_.end() ? nullptr : &found->second;
}

void DepositBook::Open(const ChannelView& view) {
  Channel& channel = channels_[view.spec->name];
  if (view.epoch <= channel.epoch) return;
  // What an identity's producer left is no other's to read.
  if (channel.identity != view.producer_identity) DropPredecessor(channel);
  if (channel.segment_id != view.spec->segment_id) {
    if (channel.is_deposited() && channel.identity == view.producer_identity) LeaveToSuccessor(channel);
    DropMemory(channel);
    channel.parts.clear();
    channel.move_on = false;
    channel.excepted_parts.clear();
    channel.segment_id = view.spec->segment_id;
  } else {
    // The same segment under another identity is another's to answer for.
    const size_t held =
        static_cast<size_t>(channel.is_deposited()) + channel.bell.descriptor.is_open() +
        static_cast<size_t>(std::count_if(channel.parts.begin(), channel.parts.end(),
                                          [](const auto& part) { return part.second.descriptor.is_open(); }));
    descriptors_of_identity_[channel.identity] -= held;
    descriptors_of_identity_[view.producer_identity] += held;
  }
  channel.epoch = view.epoch;
  channel.identity = view.producer_identity;
}

void DepositBook::Forget(absl::string_view name, uint64_t epoch) {
  const auto found = channels_.find(name);
  if (found == channels_.end() || found->second.epoch > epoch) return;
  DropMemory(found->second);
  DropPredecessor(found->second);
  if (descriptors_of_identity_[found->second.identity] == 0) {
    descriptors_of_identity_.erase(found->second.identity);
  }
  channels_.erase(found);
}

absl::Status DepositBook::Deposit(absl::string_view name, uint64_t epoch, std::vector<Memory> memories) {
  Channel* channel = Find(name);
  if (channel == nullptr || channel->epoch != epoch) {
    return Refuse(Reason::kStaleEpoch,
                  absl::StrCat("channel \"", name, "\" was registered anew since this ticket was given"),
                  {{"channel", std::string(name)}, {"stated_epoch", absl::StrCat(epoch)}});
  }
  const bool all = std::any_of(memories.begin(), memories.end(),
                               [](const Memory& memory) { return memory.role == MemoryRole::kData; });
  if (all) return DepositAll(std::string(name), *channel, std::move(memories));
  if (!channel->is_deposited()) {
    return RefuseDeposit(std::string(name), "data", "the first deposit must have its data");
  }
  if (absl::Status status = CheckRoom(*channel, memories.size()); !status.ok()) return status;
  for (Memory& memory : memories) {
    if (memory.role == MemoryRole::kPart) Put(*channel, std::move(memory), /*all=*/false);
  }
  return absl::OkStatus();
}

absl::Status DepositBook::DepositAll(const std::string& name, Channel& channel,
                                     std::vector<Memory> memories) {
  if (absl::Status status = CheckIsWhole(name, memories); !status.ok()) return status;
  DropPredecessor(channel);
  if (absl::Status status = CheckRoom(channel, memories.size()); !status.ok()) return status;
  std::set<uint32_t> brought;
  for (Memory& memory : memories) {
    if (memory.role == MemoryRole::kPart) {
      brought.insert(memory.part);
      Put(channel, std::move(memory), /*all=*/true);
      continue;
    }
    Memory& kept = memory.role == MemoryRole::kData ? channel.data : channel.bell;
    kept.size_bytes = memory.size_bytes;
    Keep(channel, kept.descriptor, std::move(memory.descriptor));
  }
  for (auto next = channel.parts.begin(); next != channel.parts.end();) {
    if (brought.contains(next->first)) {
      ++next;
      continue;
    }
    Keep(channel, next->second.descriptor, handover::Descriptor());
    next = channel.parts.erase(next);
  }
  for (const auto& [consumer, place] : channel.places) {
    const auto found = channel.parts.find(place.part);
    if (found == channel.parts.end() || !found->second.group.empty()) continue;
    if (found->second.state == PartState::kFree) {
      found->second.state = PartState::kReserved;
      found->second.owner = consumer;
    } else if (found->second.state == PartState::kInUse) {
      found->second.state = PartState::kGiven;
      found->second.owner = consumer;
    }
  }
  for (const uint32_t unclaimed : channel.unclaimed_parts) {
    const auto found = channel.parts.find(unclaimed);
    if (found == channel.parts.end() || found->second.state != PartState::kFree) continue;
    if (found->second.group.empty()) found->second.state = PartState::kReserved;
  }
  channel.unclaimed_parts.clear();
  channel.lacks_some = false;
  return absl::OkStatus();
}

// A part that came: into its place, if nobody has it.
void DepositBook::Put(Channel& channel, Memory memory, bool all) {
  const auto found = channel.parts.find(memory.part);
  if (found == channel.parts.end() && !all) return;
  Part& part = channel.parts[memory.part];
  const bool is_retired = part.state == PartState::kRetired;
  if (!all && !is_retired) return;
  if (part.state == PartState::kGiven) return;
  if (is_retired && memory.in_use) return;
  part.state = memory.in_use ? PartState::kInUse : PartState::kFree;
  part.group = std::move(memory.group);
  part.size_bytes = memory.size_bytes;
  part.owner = ConsumerKey();
  Keep(channel, part.descriptor, std::move(memory.descriptor));
}

absl::StatusOr<DepositBook::Collected> DepositBook::Collect(absl::string_view name,
                                                            const ConsumerKey& consumer,
                                                            const std::string& group, bool onlooker,
                                                            uint64_t revision, const PartClaim& claim) {
  Channel* channel = Find(name);
  if (channel == nullptr || !channel->is_deposited()) {
    return Refuse(Reason::kNotDeposited,
                  absl::StrCat("the producer of channel \"", name, "\" has not brought its memory yet"),
                  {{"channel", std::string(name)}}, std::min(retry_delay_, absl::Milliseconds(50)));
  }
  const absl::StatusOr<uint32_t> index =
      Choose(std::string(name), *channel, consumer, group, onlooker, claim);
  if (!index.ok()) return index.status();
  Part& part = channel->parts.at(*index);
  Collected collected = {.segment_id = channel->segment_id};
  collected.memories.push_back(CopyOf(channel->data));
  collected.memories.push_back(CopyOf(channel->bell));
  collected.memories.push_back({.role = MemoryRole::kPart,
                                .part = *index,
                                .group = part.group,
                                .size_bytes = part.size_bytes,
                                .descriptor = part.descriptor.Duplicate()});
  for (const Memory& memory : collected.memories) {
    if (memory.descriptor.is_open()) continue;
    return Refuse(Reason::kLimitExceeded, "the broker has no room for more descriptors; retry later",
                  {{"limit", "descriptors"}}, retry_delay_);
  }
  const auto place = channel->places.find(consumer);
  if (place != channel->places.end() && place->second.part != *index) Retire(*channel, place->second.part);
  channel->places[consumer] = {.part = *index, .revision = revision};
  if (part.group.empty()) {
    part.state = PartState::kGiven;
    part.owner = consumer;
  }
  return collected;
}

absl::StatusOr<uint32_t> DepositBook::Choose(const std::string& name, Channel& channel,
                                             const ConsumerKey& consumer, const std::string& group,
                                             bool onlooker, const PartClaim& claim) {
  const bool has_groups = std::any_of(channel.parts.begin(), channel.parts.end(),
                                      [](const auto& part) { return !part.second.group.empty(); });
  if (!group.empty() || (has_groups && !onlooker)) return ChooseOfGroup(name, channel, group);
  const auto refuse = [&](absl::string_view why) {
    return Refuse(Reason::kLimitExceeded,
                  absl::StrCat("channel \"", name, "\" has no place for this consumer: ", why,
                               "; retry when the producer has made room, within a heartbeat interval"),
                  {{"limit", "places"}, {"value", absl::StrCat(channel.parts.size())}}, retry_delay_);
  };
  const auto place = channel.places.find(consumer);
  if (place != channel.places.end()) {
    const auto own = channel.parts.find(place->second.part);
    if (own != channel.parts.end() && own->second.state == PartState::kReserved &&
        own->second.owner == consumer) {
      return place->second.part;
    }
  }
  const auto is_unclaimed = [](const Part& part) {
    return part.state == PartState::kReserved && part.owner == ConsumerKey();
  };
  if (!claim.segment_id.empty() && claim.segment_id == channel.predecessor_id) {
    const auto claimed = channel.parts.find(claim.part);
    if (claimed != channel.parts.end() && is_unclaimed(claimed->second)) return claim.part;
  }
  // A consumer that loses what it collected, again and again, would use up everybody's places.
  for (const auto& [index, part] : channel.parts) {
    if (part.state == PartState::kRetired && part.owner == consumer) {
      return refuse("what it collected before is being made anew");
    }
  }
  for (const auto& [index, part] : channel.parts) {
    if (part.state == PartState::kFree && part.group.empty()) return index;
  }
  // Who had it may never come.
  for (const auto& [index, part] : channel.parts) {
    if (is_unclaimed(part)) return index;
  }
  return refuse("all are taken");
}

absl::StatusOr<uint32_t> DepositBook::ChooseOfGroup(const std::string& name, const Channel& channel,
                                                    const std::string& group) const {
  std::vector<std::string> groups;
  uint32_t chosen = 0;
  for (const auto& [index, part] : channel.parts) {
    if (part.group.empty()) continue;
    groups.push_back(part.group);
    if (part.group == group) return index;
    chosen = index;
  }
  if (group.empty() && groups.size() == 1) return chosen;
  return RefuseFields(
      {{"group", absl::StrCat("channel \"", name, "\" has ",
                              groups.empty() ? "no groups"
                                             : absl::StrCat("the groups ", absl::StrJoin(groups, ", ")))}});
}

void DepositBook::Leave(absl::string_view name, const ConsumerKey& consumer, bool revoked,
                        uint64_t revision) {
  Channel* channel = Find(name);
  if (channel == nullptr) return;
  const auto place = channel->places.find(consumer);
  if (place == channel->places.end()) {
    const bool may_have_one = std::any_of(channel->parts.begin(), channel->parts.end(), [](const auto& part) {
      return part.second.state == PartState::kInUse;
    });
    channel->lacks_some = channel->lacks_some || may_have_one;
    channel->move_on = channel->move_on || (may_have_one && revoked);
    return;
  }
  if (revision <= place->second.revision) return;
  const uint32_t index = place->second.part;
  channel->places.erase(place);
  // The next producer need not keep a place for it.
  std::erase_if(channel->predecessor, [&](Memory& memory) {
    if (memory.role != MemoryRole::kPart || memory.part != index || !memory.group.empty()) return false;
    Keep(*channel, memory.descriptor, handover::Descriptor());
    return true;
  });
  const auto found = channel->parts.find(index);
  if (found == channel->parts.end()) return;
  const bool is_of_group = !found->second.group.empty();
  if (revoked && (is_of_group || found->second.state == PartState::kGiven)) {
    channel->move_on = true;
    if (!is_of_group) channel->excepted_parts.insert(index);
  }
  if (!is_of_group && found->second.owner == consumer) Retire(*channel, index);
}

void DepositBook::Retire(Channel& channel, uint32_t index) {
  const auto found = channel.parts.find(index);
  if (found == channel.parts.end() || !found->second.group.empty()) return;
  found->second.state = PartState::kRetired;
  Keep(channel, found->second.descriptor, handover::Descriptor());
}

DepositBook::Task DepositBook::TaskOf(absl::string_view name) const {
  const Channel* channel = Find(name);
  if (channel == nullptr) return {};
  Task task = {.deposit_again = !channel->is_deposited() || channel->lacks_some,
               .move_on = channel->move_on,
               .excepted_parts = {channel->excepted_parts.begin(), channel->excepted_parts.end()}};
  for (const auto& [index, part] : channel->parts) {
    if (part.state == PartState::kRetired) task.retired_parts.push_back(index);
  }
  return task;
}

std::optional<uint32_t> DepositBook::PartOf(absl::string_view name, const ConsumerKey& consumer) const {
  const Channel* channel = Find(name);
  if (channel == nullptr) return std::nullopt;
  const auto place = channel->places.find(consumer);
  return place == channel->places.end() ? std::nullopt : std::optional(place->second.part);
}

handover::Descriptor DepositBook::DuplicateData(absl::string_view name) const {
  const Channel* channel = Find(name);
  return channel != nullptr && channel->is_deposited() ? channel->data.descriptor.Duplicate()
                                                       : handover::Descriptor();
}

bool DepositBook::HasPredecessor(absl::string_view name) const {
  const Channel* channel = Find(name);
  return channel != nullptr && !channel->predecessor.empty();
}

absl::StatusOr<DepositBook::Inherited> DepositBook::Inherit(absl::string_view name, size_t skip,
                                                            size_t count) const {
  const Channel* channel = Find(name);
  if (channel == nullptr || skip >= channel->predecessor.size()) {
    return Refuse(Reason::kNotDeposited,
                  absl::StrCat("the last producer of channel \"", name, "\" left nothing (more)"),
                  {{"channel", std::string(name)}});
  }
  const std::vector<Memory>& left = channel->predecessor;
  Inherited inherited = {.segment_id = channel->predecessor_id, .more = left.size() - skip > count};
  for (size_t i = skip; i < std::min(left.size(), skip + count); ++i) {
    Memory& copy = inherited.memories.emplace_back(CopyOf(left[i]));
    copy.part = left[i].part;
    copy.group = left[i].group;
    if (copy.descriptor.is_open()) continue;
    return Refuse(Reason::kLimitExceeded, "the broker has no room for more descriptors; retry later",
                  {{"limit", "descriptors"}}, retry_delay_);
  }
  return inherited;
}

// What is moved is counted as it was.
void DepositBook::LeaveToSuccessor(Channel& channel) {
  DropPredecessor(channel);
  channel.predecessor_id = channel.segment_id;
  channel.predecessor.push_back(std::move(channel.data));
  channel.predecessor.push_back(std::move(channel.bell));
  channel.data = {.role = MemoryRole::kData};
  channel.bell = {.role = MemoryRole::kBell};
  for (auto& [index, part] : channel.parts) {
    const bool is_in_use = part.state == PartState::kInUse;
    if (is_in_use) channel.unclaimed_parts.insert(index);
    if (!part.descriptor.is_open()) continue;
    if (!is_in_use && part.state != PartState::kGiven && part.group.empty()) continue;
    channel.predecessor.push_back({.role = MemoryRole::kPart,
                                   .part = index,
                                   .group = part.group,
                                   .size_bytes = part.size_bytes,
                                   .descriptor = std::move(part.descriptor)});
  }
}

void DepositBook::DropPredecessor(Channel& channel) {
  for (Memory& memory : channel.predecessor) Keep(channel, memory.descriptor, handover::Descriptor());
  channel.predecessor.clear();
}

absl::Status DepositBook::CheckRoom(const Channel& channel, size_t more) const {
  const auto refuse = [&](absl::string_view limit, size_t value) {
    return Refuse(Reason::kLimitExceeded,
                  absl::StrCat("the broker keeps at most ", value, " descriptors (", limit,
                               "); use fewer places (max_consumers) or channels, or give it more"),
                  {{"limit", std::string(limit)}, {"value", absl::StrCat(value)}}, retry_delay_);
  };
  if (descriptor_count_ + more > budget_.max_descriptors) {
    return refuse("hand_over_descriptors", budget_.max_descriptors);
  }
  const auto held = descriptors_of_identity_.find(channel.identity);
  const size_t of_identity = held == descriptors_of_identity_.end() ? 0 : held->second;
  if (of_identity + more > budget_.max_descriptors_per_identity) {
    return refuse("hand_over_descriptors_per_identity", budget_.max_descriptors_per_identity);
  }
  return absl::OkStatus();
}

void DepositBook::DropMemory(Channel& channel) {
  Keep(channel, channel.data.descriptor, handover::Descriptor());
  Keep(channel, channel.bell.descriptor, handover::Descriptor());
  for (auto& [index, part] : channel.parts) Keep(channel, part.descriptor, handover::Descriptor());
}

// The one way in which descriptors come into the book and go.
void DepositBook::Keep(Channel& channel, handover::Descriptor& kept, handover::Descriptor fresh) {
  size_t& of_identity = descriptors_of_identity_[channel.identity];
  if (kept.is_open()) {
    --of_identity;
    --descriptor_count_;
  }
  if (fresh.is_open()) {
    ++of_identity;
    ++descriptor_count_;
  }
  kept = std::move(fresh);
}

}  // namespace pylabhub::broker
