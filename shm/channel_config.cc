#include "shm/channel_config.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "shm/segment/layout.h"

namespace pylabhub::shm {
namespace {

constexpr uint32_t kDefaultRingSlots = 64;
constexpr uint32_t kDefaultConsumers = 64;
constexpr uint32_t kDefaultPins = 8;
constexpr uint32_t kDefaultLosslessPins = 2;
constexpr absl::string_view kDefaultGroup = "workers";

constexpr std::pair<Policy, absl::string_view> kPolicyNames[] = {
    {Policy::kLatestOnly, "latest_only"},     {Policy::kPublishSubscribe, "publish_subscribe"},
    {Policy::kSingleReader, "single_reader"}, {Policy::kSyncReader, "sync_reader"},
    {Policy::kPipeline, "pipeline"},
};

absl::Status Invalid(const ChannelConfig& config, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("channel '", config.channel, "': ", what));
}

uint32_t DefaultCapacity(Buffering buffering) {
  switch (buffering) {
    case Buffering::kSingle:
      return 1;
    case Buffering::kDoubleBuffer:
      return 2;
    case Buffering::kRingBuffer:
      return kDefaultRingSlots;
  }
  return 0;
}

absl::Status ValidateCapacity(const ChannelConfig& config) {
  const uint32_t slots = config.capacity_slots;
  switch (config.buffering) {
    case Buffering::kSingle:
      if (slots == 1) return absl::OkStatus();
      return Invalid(config, absl::StrCat("a single buffer has capacity_slots 1, not ", slots,
                                          "; use kDoubleBuffer for 2, kRingBuffer for more"));
    case Buffering::kDoubleBuffer:
      if (slots == 2) return absl::OkStatus();
      return Invalid(config, absl::StrCat("a double buffer has capacity_slots 2, not ", slots,
                                          "; use kSingle for 1, kRingBuffer for more"));
    case Buffering::kRingBuffer:
      if (slots >= 2 && slots <= kMaxCapacitySlots) return absl::OkStatus();
      return Invalid(
          config, absl::StrCat("a ring buffer has capacity_slots 2 to ", kMaxCapacitySlots, ", not ", slots));
  }
  return Invalid(config, "buffering must be kSingle, kDoubleBuffer or kRingBuffer");
}

absl::Status ValidateSlotBytes(const ChannelConfig& config) {
  if (config.slot_bytes == 0) {
    return Invalid(config, "slot_bytes must be set, to the largest payload: the schema does not say it");
  }
  if (config.slot_bytes > kMaxSlotBytes) {
    return Invalid(config, absl::StrCat("slot_bytes must be at most 1 GiB, not ", config.slot_bytes));
  }
  if (config.slot_bytes < config.schema.record_bytes) {
    return Invalid(config,
                   absl::StrCat("slot_bytes ", config.slot_bytes, " is less than one record of schema '",
                                config.schema.name, "' (", config.schema.record_bytes, ")"));
  }
  return absl::OkStatus();
}

absl::Status ValidateConsumers(const ChannelConfig& config) {
  if (config.max_consumers < 1 || config.max_consumers > kMaxConsumers) {
    return Invalid(
        config, absl::StrCat("max_consumers must be 1 to ", kMaxConsumers, ", not ", config.max_consumers));
  }
  if (config.policy == Policy::kSingleReader && config.max_consumers != 1) {
    return Invalid(config, absl::StrCat("policy single_reader has max_consumers 1, not ",
                                        config.max_consumers, "; use sync_reader for more"));
  }
  if (config.min_consumers > config.max_consumers) {
    return Invalid(config,
                   absl::StrCat("min_consumers ", config.min_consumers, " is more than max_consumers ",
                                config.max_consumers, ": the first slot would wait for ever"));
  }
  if (config.max_pins < 1 || config.max_pins > kMaxConsumers * kPinsPerConsumer) {
    return Invalid(config, absl::StrCat("max_pins must be 1 to ", kMaxConsumers * kPinsPerConsumer, ", not ",
                                        config.max_pins));
  }
  return absl::OkStatus();
}

bool IsName(absl::string_view name, size_t max_characters) {
  return !name.empty() && name.size() <= max_characters && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  });
}

absl::Status ValidateGroups(const ChannelConfig& config) {
  if (config.policy != Policy::kPipeline) {
    if (config.groups.empty()) return absl::OkStatus();
    return Invalid(config, absl::StrCat("policy ", NameOf(config.policy), " has no groups; use pipeline"));
  }
  if (config.groups.empty() || config.groups.size() > kMaxGroups) {
    return Invalid(
        config, absl::StrCat("policy pipeline has 1 to ", kMaxGroups, " groups, not ", config.groups.size()));
  }
  for (auto group = config.groups.begin(); group != config.groups.end(); ++group) {
    if (!IsName(*group, kGroupNameBytes - 1)) {
      return Invalid(config, absl::StrCat("group name '", absl::CEscape(*group), "' must have 1 to ",
                                          kGroupNameBytes - 1, " characters of a-z, 0-9, '.', '_' and '-'"));
    }
    if (std::find(config.groups.begin(), group, *group) != group) {
      return Invalid(config, absl::StrCat("group '", *group, "' is there twice"));
    }
  }
  return absl::OkStatus();
}

absl::Status ValidateZone(const ChannelConfig& config) {
  if (absl::Status status = config.zone_schema.Validate(); !status.ok()) return status;
  if (config.zone_bytes > kMaxZoneBytes) {
    return Invalid(config, absl::StrCat("zone_bytes must be at most 16 MiB, not ", config.zone_bytes));
  }
  if (config.zone_bytes < config.zone_schema.record_bytes) {
    return Invalid(config,
                   absl::StrCat("zone_bytes ", config.zone_bytes, " is less than one record of schema '",
                                config.zone_schema.name, "' (", config.zone_schema.record_bytes, ")"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::string_view NameOf(Policy policy) {
  for (const auto& [known, name] : kPolicyNames) {
    if (known == policy) return name;
  }
  return "unknown";
}

std::optional<Policy> PolicyFromName(absl::string_view name) {
  for (const auto& [policy, known] : kPolicyNames) {
    if (known == name) return policy;
  }
  return std::nullopt;
}

bool IsLossless(Policy policy) {
  return policy == Policy::kSingleReader || policy == Policy::kSyncReader || policy == Policy::kPipeline;
}

ChannelConfig ChannelConfig::WithDefaults() const {
  ChannelConfig full = *this;
  if (full.capacity_slots == 0) full.capacity_slots = DefaultCapacity(buffering);
  if (full.slot_bytes == 0) full.slot_bytes = schema.record_bytes;
  if (full.max_consumers == 0) full.max_consumers = policy == Policy::kSingleReader ? 1 : kDefaultConsumers;
  if (full.max_pins == 0) {
    const bool waits = IsLossless(policy) && max_patience == absl::InfiniteDuration();
    full.max_pins = std::min(full.max_consumers, waits ? kDefaultLosslessPins : kDefaultPins);
  }
  if (policy == Policy::kPipeline && full.groups.empty()) full.groups.emplace_back(kDefaultGroup);
  if (full.zone_bytes == 0) full.zone_bytes = zone_schema.record_bytes;
  return full;
}

absl::Status ChannelConfig::Validate() const {
  if (absl::Status status = ValidateChannelName(channel); !status.ok()) return status;
  if (NameOf(policy) == "unknown") return Invalid(*this, "policy must be one of the Policy values");
  if (absl::Status status = schema.Validate(); !status.ok()) return status;
  if (absl::Status status = ValidateCapacity(*this); !status.ok()) return status;
  if (absl::Status status = ValidateSlotBytes(*this); !status.ok()) return status;
  if (absl::Status status = ValidateConsumers(*this); !status.ok()) return status;
  if (absl::Status status = ValidateGroups(*this); !status.ok()) return status;
  if (absl::Status status = ValidateZone(*this); !status.ok()) return status;
  if (checksum < Checksum::kNone || checksum > Checksum::kEnforced) {
    return Invalid(*this, "checksum must be kNone, kManual or kEnforced");
  }
  if (max_patience <= absl::ZeroDuration()) {
    return Invalid(*this, "max_patience must be more than zero; InfiniteDuration waits for ever");
  }
  if (reservation_ttl < absl::ZeroDuration()) return Invalid(*this, "reservation_ttl must not be negative");
  if (directory.empty() || directory[0] != '/') return Invalid(*this, "directory must be an absolute path");
  return absl::OkStatus();
}

absl::Status ValidateChannelName(absl::string_view channel) {
  if (IsName(channel, 128)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("channel name '", absl::CEscape(channel.substr(0, 160)),
                   "' must have 1 to 128 characters of a-z, 0-9, '.', '_' and '-'"));
}

}  // namespace pylabhub::shm
