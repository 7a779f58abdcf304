#include "client/lease_table.h"

#include <algorithm>
#include <set>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "client/error_reason.h"

namespace pylabhub {
namespace {

MessengerEvent EventAbout(MessengerEventKind kind, const ChannelSpec& spec, absl::Status status = {}) {
  return {.kind = kind, .channel = spec.name, .consumer_id = {}, .status = std::move(status)};
}

MessengerEvent EventAbout(MessengerEventKind kind, const ConsumerSpec& spec, absl::Status status = {}) {
  return {
      .kind = kind, .channel = spec.channel, .consumer_id = spec.consumer_id, .status = std::move(status)};
}

absl::Status WhyLost(const LostChannel& lost) {
  if (lost.reason == LossReason::kFenced) {
    return absl::AbortedError(
        absl::StrCat("fenced: another registration took channel '", lost.name, "' over; stop writing to it"));
  }
  if (lost.reason == LossReason::kRevoked) {
    return absl::PermissionDeniedError(absl::StrCat("revoked: this producer has lost the right to channel '",
                                                    lost.name, "'; stop writing to it"));
  }
  return absl::CancelledError(absl::StrCat("an administrator closed channel '", lost.name, "'"));
}

absl::string_view InWords(CloseReason why) {
  switch (why) {
    case CloseReason::kDeregistered:
      return "its producer has given it up";
    case CloseReason::kLeaseExpired:
      return "its producer was not heard of for as long as its lease lasts";
    case CloseReason::kReplaced:
      return "another producer takes its place";
    case CloseReason::kClosedByAdmin:
      return "an administrator closed it";
    case CloseReason::kRevoked:
      return "its producer has lost the right to it";
    case CloseReason::kUnknown:
      return "the broker does not have it any more";
  }
  return "the broker does not say why";
}

absl::Status WhyClosing(const std::string& channel, CloseReason why) {
  absl::Status status =
      absl::NotFoundError(absl::StrCat("channel '", channel, "' is closing: ", InWords(why)));
  SetReason(status, reason::kChannelNotFound);
  return status;
}

bool ChannelIsGone(const absl::Status& status) { return ReasonOf(status) == reason::kChannelNotFound; }

// Whether trying again later may succeed with nothing changed here.
bool MayPass(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kInternal:
      return true;
    default:
      return false;
  }
}

}  // namespace

void LeaseTable::Hold(const ChannelSpec& channel, uint64_t epoch) {
  channels_.insert_or_assign(
      channel.name,
      ChannelEntry{.spec = channel, .epoch = epoch, .generation = ++generation_, .backoff = NewBackoff()});
}

void LeaseTable::Hold(const ConsumerSpec& consumer, uint64_t channel_epoch) {
  consumers_.insert_or_assign(
      ConsumerKey(consumer.channel, consumer.consumer_id),
      ConsumerEntry{
          .spec = consumer, .epoch = channel_epoch, .generation = ++generation_, .backoff = NewBackoff()});
}

void LeaseTable::Supersede(const ChannelSpec& channel, absl::Time now) {
  const auto found = channels_.find(channel.name);
  if (found == channels_.end()) return;
  found->second.spec = channel;
  found->second.generation = ++generation_;
  found->second.held = false;
  found->second.restore_time = now;
}

std::optional<uint64_t> LeaseTable::DropChannel(const std::string& name) {
  const auto found = channels_.find(name);
  if (found == channels_.end()) return std::nullopt;
  const uint64_t epoch = found->second.held ? found->second.epoch : 0;
  channels_.erase(found);
  return epoch;
}

bool LeaseTable::DropConsumer(const ConsumerClaim& consumer) {
  return consumers_.erase({consumer.channel, consumer.consumer_id}) > 0;
}

LeaseTable::ClaimsAsOf LeaseTable::Held() const {
  ClaimsAsOf held{.claims = {}, .generation = generation_};
  for (const auto& [name, entry] : channels_) {
    if (entry.held) held.claims.channels.push_back({.name = name, .epoch = entry.epoch});
  }
  for (const auto& [key, entry] : consumers_) {
    if (entry.held) held.claims.consumers.push_back({.channel = key.first, .consumer_id = key.second});
  }
  return held;
}

Claims LeaseTable::All() const {
  Claims all;
  for (const auto& [name, entry] : channels_) {
    all.channels.push_back({.name = name, .epoch = entry.held ? entry.epoch : 0});
  }
  for (const auto& [key, entry] : consumers_) {
    all.consumers.push_back({.channel = key.first, .consumer_id = key.second});
  }
  return all;
}

void LeaseTable::Apply(const HeartbeatReport& report, uint64_t generation, absl::Time now, Events& events) {
  if (!report.session_known) {
    LoseAllHeld(generation, now);
    return;
  }
  for (const LostChannel& lost : report.lost_channels) LoseChannel(lost, generation, now, events);
  for (const ConsumerClaim& lost : report.lost_consumers) {
    const auto found = consumers_.find({lost.channel, lost.consumer_id});
    if (found == consumers_.end() || !found->second.held || found->second.generation > generation) continue;
    found->second.held = false;
    found->second.restore_time = now;
  }
}

void LeaseTable::LoseAllHeld(uint64_t generation, absl::Time now) {
  const auto lose = [&](auto& entries) {
    for (auto& [key, entry] : entries) {
      if (!entry.held || entry.generation > generation) continue;
      entry.held = false;
      entry.restore_time = now;
    }
  };
  lose(channels_);
  lose(consumers_);
}

void LeaseTable::LoseChannel(const LostChannel& lost, uint64_t generation, absl::Time now, Events& events) {
  const auto found = channels_.find(lost.name);
  if (found == channels_.end()) return;
  ChannelEntry& entry = found->second;
  if (!entry.held || entry.generation > generation) return;
  if (lost.reason == LossReason::kUnknownToBroker) {
    entry.held = false;
    entry.restore_time = now;
    return;
  }
  events.push_back(EventAbout(MessengerEventKind::kRegistrationLost, entry.spec, WhyLost(lost)));
  channels_.erase(found);
}

absl::Time LeaseTable::NextRestoreTime() const {
  absl::Time next = absl::InfiniteFuture();
  for (const auto& [name, entry] : channels_) next = std::min(next, entry.restore_time);
  for (const auto& [key, entry] : consumers_) next = std::min(next, entry.restore_time);
  return next;
}

std::vector<LeaseTable::Restoration> LeaseTable::DueForRestore(absl::Time now) {
  std::vector<Restoration> due;
  const auto collect = [&](auto& entries) {
    for (auto& [key, entry] : entries) {
      if (entry.restore_time > now) continue;
      entry.restore_time = absl::InfiniteFuture();
      due.push_back({.spec = entry.spec, .generation = entry.generation});
    }
  };
  // Channels first: a consumer in the same process may be waiting for one of them.
  collect(channels_);
  collect(consumers_);
  return due;
}

LeaseTable::ChannelEntry* LeaseTable::Find(const ChannelSpec& spec, uint64_t generation) {
  const auto found = channels_.find(spec.name);
  return found != channels_.end() && found->second.generation == generation ? &found->second : nullptr;
}

LeaseTable::ConsumerEntry* LeaseTable::Find(const ConsumerSpec& spec, uint64_t generation) {
  const auto found = consumers_.find({spec.channel, spec.consumer_id});
  return found != consumers_.end() && found->second.generation == generation ? &found->second : nullptr;
}

bool LeaseTable::IsWanted(const Restoration& restoration) {
  return std::visit([&](const auto& spec) { return Find(spec, restoration.generation) != nullptr; },
                    restoration.spec);
}

void LeaseTable::Restored(const Restoration& restoration, uint64_t epoch, Events& events) {
  std::visit(
      [&](const auto& spec) {
        const auto* entry = Find(spec, restoration.generation);
        if (entry == nullptr) return;
        if (!entry->channel_present) events.push_back(EventAbout(MessengerEventKind::kChannelBack, spec));
        Hold(spec, epoch);
        events.push_back(EventAbout(MessengerEventKind::kRegistrationRestored, spec));
      },
      restoration.spec);
}

void LeaseTable::RestoreFailed(const Restoration& restoration, const absl::Status& status, absl::Time now,
                               Events& events) {
  std::visit(
      [&](const auto& spec) {
        auto* entry = Find(spec, restoration.generation);
        if (entry == nullptr) return;
        constexpr bool kIsConsumer = std::is_same_v<std::decay_t<decltype(spec)>, ConsumerSpec>;
        // A consumer outlasts its channel: the producer may come back, perhaps a moment after the broker did.
        if (MayPass(status) || (kIsConsumer && ChannelIsGone(status))) {
          entry->restore_time = now + entry->backoff.Next();
          if (kIsConsumer && ChannelIsGone(status) && entry->channel_present) {
            entry->channel_present = false;
            events.push_back(EventAbout(MessengerEventKind::kChannelClosing, spec, status));
          }
          return;
        }
        events.push_back(EventAbout(MessengerEventKind::kRegistrationLost, spec, status));
        Erase(spec);
      },
      restoration.spec);
}

std::vector<std::string> LeaseTable::ConsumedChannels() const {
  std::set<std::string> names;
  for (const auto& [key, entry] : consumers_) names.insert(key.first);
  return {names.begin(), names.end()};
}

void LeaseTable::Saw(const std::string& channel, const absl::StatusOr<Channel>& found, Events& events) {
  if (found.ok()) {
    SawReady(channel, found->epoch, events);
  } else if (ChannelIsGone(found.status())) {
    SawClosing(channel, CloseReason::kUnknown, events);
  }
}

void LeaseTable::SawReady(const std::string& channel, uint64_t epoch, Events& events) {
  for (auto entry = consumers_.lower_bound({channel, ""});
       entry != consumers_.end() && entry->first.first == channel; ++entry) {
    ConsumerEntry& consumer = entry->second;
    if (consumer.channel_present && consumer.epoch == epoch) continue;
    consumer.channel_present = true;
    consumer.epoch = epoch;
    events.push_back(EventAbout(MessengerEventKind::kChannelBack, consumer.spec));
  }
}

void LeaseTable::SawClosing(const std::string& channel, CloseReason why, Events& events) {
  for (auto entry = consumers_.lower_bound({channel, ""});
       entry != consumers_.end() && entry->first.first == channel; ++entry) {
    ConsumerEntry& consumer = entry->second;
    if (!consumer.channel_present) continue;
    consumer.channel_present = false;
    events.push_back(
        EventAbout(MessengerEventKind::kChannelClosing, consumer.spec, WhyClosing(channel, why)));
    events.back().close_reason = why;
  }
}

}  // namespace pylabhub
