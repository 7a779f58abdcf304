#include "client/messenger.h"

#include <sys/prctl.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/backoff.h"
#include "client/error_reason.h"
#include "client/name_pattern.h"
#include "client/process_info.h"
#include "client/session_id.h"
#include "client/steady_now.h"

namespace pylabhub {
namespace {

constexpr absl::Duration kFirstDiscoverRetry = absl::Milliseconds(5);
constexpr absl::Duration kDiscoverRetryLimit = absl::Milliseconds(250);
constexpr size_t kMaxScopePatterns = 50;
// How long a broker is asked for a channel that is known, before what it said last is the answer.
constexpr absl::Duration kAskForKnownTimeout = absl::Milliseconds(500);
constexpr absl::Duration kLastAskTimeout = absl::Milliseconds(200);
// Of one call at the end: a broker that is being restarted is not waited for, since leases end by themselves.
// Tickets are good for longer than this.
constexpr absl::Duration kTicketIsFresh = absl::Seconds(2);
constexpr absl::Duration kGiveUpTimeout = absl::Milliseconds(500);

// The broker was not reached or did not answer: whether it carried the call out is not known.
bool IsAmbiguous(const absl::Status& status) {
  return ReasonOf(status).empty() && (status.code() == absl::StatusCode::kUnavailable ||
                                      status.code() == absl::StatusCode::kDeadlineExceeded ||
                                      status.code() == absl::StatusCode::kCancelled);
}

bool IsHeld(const absl::Status& status) {
  const std::string why = ReasonOf(status);
  return why == reason::kChannelHeld || why == reason::kSchemaMismatch;
}

const std::string& NameOf(const ChannelSpec& spec) { return spec.name; }
const std::string& NameOf(const ConsumerSpec& spec) { return spec.channel; }

bool MayAppear(const absl::Status& status) {
  const std::string why = ReasonOf(status);
  return why == reason::kChannelNotFound || why == reason::kChannelNotReady;
}

absl::Status CheckPattern(const std::string& pattern) {
  if (IsNamePattern(pattern)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("'", pattern, "' is no pattern of channel names: 1 to 128 of [a-z0-9._-] and * and ?"));
}

absl::Status CheckScope(const WatchScope& scope) {
  if (scope.patterns.size() > kMaxScopePatterns) {
    return absl::InvalidArgumentError(absl::StrCat("watch.patterns has ", scope.patterns.size(),
                                                   " patterns, and may have ", kMaxScopePatterns,
                                                   ": put some together with '*'"));
  }
  for (const std::string& pattern : scope.patterns) {
    if (absl::Status status = CheckPattern(pattern); !status.ok()) return status;
  }
  return absl::OkStatus();
}

[[noreturn]] void DieOfDestructionInCallback() {
  std::fputs(
      "pylabhub: a Messenger was destroyed in its own on_event callback; destroy it on another thread\n",
      stderr);
  std::abort();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Messenger>> Messenger::Create(std::unique_ptr<BrokerConnection> connection,
                                                             MessengerOptions options,
                                                             absl::Duration timeout) {
  if (absl::Status status = CheckScope(options.watch); !status.ok()) return status;
  auto metered = std::make_unique<MeteredConnection>(std::move(connection));
  absl::StatusOr<BrokerInfo> info = metered->GetBrokerInfo(timeout);
  if (!info.ok()) return info.status();
  if (!options.log) options.log = [](absl::string_view) {};
  return std::unique_ptr<Messenger>(new Messenger(std::move(metered), *std::move(info), std::move(options)));
}

Messenger::Messenger(std::unique_ptr<MeteredConnection> connection, BrokerInfo broker_info,
                     MessengerOptions options)
    : connection_(std::move(connection)),
      broker_info_(std::move(broker_info)),
      options_(std::move(options)),
      session_id_(RandomSessionId()),
      keeper_(*connection_, calls_,
              LeaseKeeper::Options{
                  .session_id = session_id_,
                  .terms = broker_info_.terms,
                  .call_timeout = options_.call_timeout,
                  .is_watched = [this](const std::string& name) { return directory().Covers(name); },
                  .on_events = [this](LeaseTable::Events events) { Deliver(std::move(events)); },
                  .on_restored =
                      [this](const ChannelSpec& channel, const HandOver& hand_over) {
                        const absl::Status status = DepositAll(channel, hand_over);
                        if (!status.ok()) options_.log(absl::StrCat("could not deposit: ", status.message()));
                      },
                  .on_hand_over_tasks = [this](const std::vector<HandOverTask>& tasks) { DoTasks(tasks); },
                  .log = options_.log}),
      watcher_(*connection_,
               ChannelWatcher::Options{
                   .follows_names = options_.watch.names,
                   .patterns = options_.watch.patterns,
                   .consumed_names = [this] { return keeper_.ConsumedChannels(); },
                   .on_changes = [this](const WarmDirectory::Changes& changes) { keeper_.See(changes); },
                   .on_fresh = [this] { keeper_.Compare(directory()); },
                   .log = options_.log}) {}

Messenger::~Messenger() {
  if (events_.IsCurrentThread() || calls_.IsCurrentThread()) DieOfDestructionInCallback();
  const absl::Time deadline = SteadyNow() + options_.close_timeout;
  // From here on, calls that wait for their turn end at once with kCancelled.
  closing_ = true;
  watcher_.Stop();
  keeper_.RequestStop();
  const auto turn_came = std::make_shared<std::promise<void>>();
  const std::future<void> drained = turn_came->get_future();
  calls_.Add([turn_came] { turn_came->set_value(); });
  // The call that is being made may be a giving up: it is cancelled only if the broker is slow.
  absl::Duration patience = std::min(kGiveUpTimeout, options_.close_timeout);
  while (drained.wait_for(absl::ToChronoMilliseconds(patience)) != std::future_status::ready) {
    connection_->CancelCalls();
    // Again, since a call may be about to begin that the first cancelling does not see.
    patience = absl::Milliseconds(20);
  }
  keeper_.Stop();
  GiveUp(keeper_.TakeAll(), deadline);
  // While everything else still stands: a callback may be using this Messenger.
  events_.Close();
}

void Messenger::GiveUp(const Claims& claims, absl::Time deadline) {
  const auto give_up = [&](const std::string& what, auto call) {
    const absl::Duration left = deadline - SteadyNow();
    if (left <= absl::ZeroDuration()) return false;
    const absl::Status status = call(std::min(left, kGiveUpTimeout)).status();
    if (!status.ok()) options_.log(absl::StrCat("could not give up ", what, ": ", status.message()));
    // An unreachable broker is asked once: the leases end by themselves.
    return !IsAmbiguous(status);
  };
  for (const ConsumerClaim& consumer : claims.consumers) {
    const bool go_on = give_up(
        absl::StrCat("consumer of '", consumer.channel, "'"),
        [&](absl::Duration left) { return connection_->ConsumerDeregister(session_id_, consumer, left); });
    if (!go_on) return;
  }
  for (const ChannelClaim& channel : claims.channels) {
    const bool go_on = give_up(absl::StrCat("channel '", channel.name, "'"), [&](absl::Duration left) {
      return connection_->Deregister(session_id_, channel.name, channel.epoch, left);
    });
    if (!go_on) return;
  }
}

template <typename Outcome>
std::future<Outcome> Messenger::InTurn(std::function<Outcome()> call) {
  auto outcome = std::make_shared<std::promise<Outcome>>();
  std::future<Outcome> future = outcome->get_future();
  calls_.Add([this, outcome = std::move(outcome), call = std::move(call)] {
    outcome->set_value(closing_ ? absl::CancelledError("the messenger is closing") : call());
  });
  return future;
}

template <typename Spec>
absl::StatusOr<Grant> Messenger::Keep(const Spec& spec, absl::StatusOr<Grant> grant) {
  if (!grant.ok() || !grant->is_registered) return grant;
  constexpr bool kIsProducer = std::is_same_v<Spec, ChannelSpec>;
  watcher_.Expect(NameOf(spec), grant->channel.revision);
  const LeaseKeeper::Beat beat = keeper_.Hold(spec, *grant);
  if (!kIsProducer) {
    watcher_.Consume(NameOf(spec));
    // The channel may have closed since the broker answered, and that been told when nobody held it yet.
    keeper_.Compare(directory());
  }
  const absl::Status beat_status = keeper_.Await(beat, options_.call_timeout);
  if (!beat_status.ok()) {
    options_.log(absl::StrCat("registered, but the first heartbeat failed and is sent again: ",
                              beat_status.message()));
  } else if (kIsProducer) {
    grant->channel.state = ChannelState::kReady;
  }
  return grant;
}

std::future<absl::StatusOr<Grant>> Messenger::RegisterProducer(ChannelSpec channel, OnHeld on_held,
                                                               std::shared_ptr<MemorySource> memory) {
  if (channel.process.pid == 0) channel.process = ThisProcess();
  return InTurn<absl::StatusOr<Grant>>(
      [this, channel = std::move(channel), on_held, memory = std::move(memory)]() -> absl::StatusOr<Grant> {
        // Two handles of one process: to the broker, who knows sessions, the second would be the first one's successor. A
        // channel with a name is refused by its anchor before it comes here.
        if (memory != nullptr && keeper_.Keeps(channel.name)) {
          return absl::AlreadyExistsError(absl::StrCat(
              "channel '", channel.name, "' has a producer in this process already; close that first"));
        }
        absl::StatusOr<Grant> grant =
            connection_->Register(session_id_, channel, /*force=*/false, options_.call_timeout);
        if (on_held == OnHeld::kTakeOver && IsHeld(grant.status())) {
          grant = connection_->Register(session_id_, channel, /*force=*/true, options_.call_timeout);
        }
        // Otherwise a broker that did carry it out would hold the name, pending, for as long as this session
        // lives.
        if (IsAmbiguous(grant.status()) && !keeper_.Keeps(channel.name)) {
          (void)connection_->Deregister(session_id_, channel.name, 0,
                                        std::min(options_.call_timeout, absl::Seconds(1)));
        }
        if (grant.ok() && grant->hand_over.has_value() && memory != nullptr) {
          // Before the heartbeat that makes it ready: who finds the channel can collect its memory.
          if (absl::Status status = BringMemory(channel, *grant->hand_over, memory); !status.ok()) {
            ForgetMemory(channel.name);
            (void)connection_->Deregister(session_id_, channel.name, grant->channel.epoch,
                                          std::min(options_.call_timeout, absl::Seconds(1)));
            return status;
          }
        }
        return Keep(channel, std::move(grant));
      });
}

void Messenger::Supersede(ChannelSpec channel) {
  if (channel.process.pid == 0) channel.process = ThisProcess();
  keeper_.Supersede(channel);
}

void Messenger::ProtectProcess() const {
  if (!options_.keep_dumpable) prctl(PR_SET_DUMPABLE, 0);
}

std::shared_ptr<MemorySource> Messenger::MemoryOf(const std::string& channel) {
  const std::lock_guard lock(memory_mutex_);
  const auto found = memory_.find(channel);
  return found == memory_.end() ? nullptr : found->second;
}

void Messenger::ForgetMemory(const std::string& channel) {
  const std::lock_guard lock(memory_mutex_);
  memory_.erase(channel);
}

absl::Status Messenger::BringMemory(const ChannelSpec& channel, HandOver hand_over,
                                    const std::shared_ptr<MemorySource>& memory) {
  std::optional<InheritedMemory> predecessor;
  if (hand_over.has_predecessor) {
    absl::StatusOr<InheritedMemory> inherited = connection_->Inherit(hand_over, options_.call_timeout);
    if (inherited.ok()) {
      predecessor = *std::move(inherited);
    } else {
      options_.log(absl::StrCat("could not see who still reads what the last producer of '", channel.name,
                                "' left, and keeps them no place: ", inherited.status().message()));
    }
  }
  const absl::Time start = SteadyNow();
  if (absl::Status status = memory->Begin(std::move(predecessor)); !status.ok()) return status;
  {
    const std::lock_guard lock(memory_mutex_);
    memory_[channel.name] = memory;
  }
  // The ticket may have ended while much memory was made.
  if (SteadyNow() - start > kTicketIsFresh) {
    const absl::StatusOr<Grant> again =
        connection_->Register(session_id_, channel, /*force=*/false, options_.call_timeout);
    if (!again.ok()) return again.status();
    if (again->hand_over.has_value()) hand_over = *again->hand_over;
  }
  return DepositAll(channel, hand_over);
}

absl::Status Messenger::DepositAll(const ChannelSpec& channel, const HandOver& hand_over) {
  const std::shared_ptr<MemorySource> memory = MemoryOf(channel.name);
  if (memory == nullptr) return absl::OkStatus();
  const absl::StatusOr<Deposit> deposit = memory->All(hand_over.keeps_parts_in_use);
  if (!deposit.ok()) return deposit.status();
  // It has moved on again; that segment is registered next.
  if (deposit->segment_id != channel.segment_id) return absl::OkStatus();
  return connection_->Deposit(hand_over, *deposit, options_.call_timeout);
}

void Messenger::DoTasks(const std::vector<HandOverTask>& tasks) {
  for (const HandOverTask& task : tasks) {
    const std::shared_ptr<MemorySource> memory = MemoryOf(task.channel);
    if (memory == nullptr) continue;
    if (task.move_on) {
      memory->MoveOn(task.segment_id, task.excepted_parts);
      continue;
    }
    if (!task.hand_over.has_value()) continue;
    const absl::StatusOr<Deposit> deposit = task.deposit_again
                                                ? memory->All(task.hand_over->keeps_parts_in_use)
                                                : memory->Renew(task.segment_id, task.retired_parts);
    if (absl::IsNotFound(deposit.status()) || (deposit.ok() && deposit->segment_id != task.segment_id))
      continue;
    const absl::Status status = deposit.ok()
                                    ? connection_->Deposit(*task.hand_over, *deposit, options_.call_timeout)
                                    : deposit.status();
    // The next heartbeat asks again.
    if (!status.ok()) {
      options_.log(absl::StrCat("could not deposit memory of '", task.channel, "': ", status.message()));
    }
  }
}

std::future<absl::StatusOr<Grant>> Messenger::RegisterConsumer(ConsumerSpec consumer) {
  if (consumer.process.pid == 0) consumer.process = ThisProcess();
  return InTurn<absl::StatusOr<Grant>>([this, consumer = std::move(consumer)] {
    return Keep(consumer, connection_->ConsumerRegister(session_id_, consumer, options_.call_timeout));
  });
}

std::future<absl::Status> Messenger::DeregisterProducer(std::string channel) {
  return InTurn<absl::Status>([this, channel = std::move(channel)] {
    // First of all, so that no heartbeat claims it from here on.
    const uint64_t epoch = keeper_.DropChannel(channel).value_or(0);
    ForgetMemory(channel);
    return Changed(channel, connection_->Deregister(session_id_, channel, epoch, options_.call_timeout));
  });
}

std::future<absl::Status> Messenger::DeregisterConsumer(ConsumerClaim consumer) {
  return InTurn<absl::Status>([this, consumer = std::move(consumer)] {
    keeper_.DropConsumer(consumer);
    return Changed(consumer.channel,
                   connection_->ConsumerDeregister(session_id_, consumer, options_.call_timeout));
  });
}

absl::Status Messenger::Changed(const std::string& channel, const absl::StatusOr<uint64_t>& revision) {
  if (revision.ok()) watcher_.Expect(channel, *revision);
  return revision.status();
}

absl::StatusOr<Channel> Messenger::DiscoverProducer(const std::string& channel, absl::Duration timeout,
                                                    Consistency consistency) {
  if (consistency == Consistency::kLocal) {
    if (const WarmDirectory::ChannelPtr known = directory().FindReady(channel)) {
      directory_hits_.fetch_add(1, std::memory_order_relaxed);
      return *known;
    }
  }
  directory_misses_.fetch_add(1, std::memory_order_relaxed);
  watcher_.Ask(channel);
  const absl::Time deadline = SteadyNow() + timeout;
  Backoff backoff(kFirstDiscoverRetry, kDiscoverRetryLimit);
  while (true) {
    // A caller who would not wait for the channel still waits for the answer; and so does everybody for the
    // last one.
    const absl::Duration ask_timeout = timeout == absl::ZeroDuration()
                                           ? options_.call_timeout
                                           : std::max(deadline - SteadyNow(), kLastAskTimeout);
    absl::StatusOr<Channel> found = AskFor(channel, ask_timeout, consistency);
    if (found.ok() || !MayAppear(found.status())) return found;
    const absl::Duration left = deadline - SteadyNow();
    if (left <= absl::ZeroDuration()) {
      return WithMessage(found.status(), absl::StrCat(found.status().message(), " (waited ",
                                                      absl::FormatDuration(timeout), ")"));
    }
    const absl::Duration wait = directory().Covers(channel) ? left : std::min(backoff.Next(), left);
    const WarmDirectory::ChannelPtr known = watcher_.AwaitReady(channel, wait);
    if (known != nullptr && consistency == Consistency::kLocal) return *known;
  }
}

absl::StatusOr<Channel> Messenger::AskFor(const std::string& channel, absl::Duration timeout,
                                          Consistency consistency) {
  const WarmDirectory::ChannelPtr known =
      consistency == Consistency::kLocal ? directory().FindLastKnown(channel) : nullptr;
  if (known == nullptr || known->state != ChannelState::kReady)
    return connection_->Discover(channel, timeout);
  absl::StatusOr<Channel> found = connection_->Discover(channel, std::min(timeout, kAskForKnownTimeout));
  // While a broker is restarted, nobody is to see a channel vanish. What it says counts; that it says nothing does not.
  if (IsAmbiguous(found.status()) || ReasonOf(found.status()) == reason::kShuttingDown) return *known;
  return found;
}

absl::StatusOr<std::vector<Channel>> Messenger::ListChannels(const std::string& name_prefix,
                                                             absl::Duration timeout) {
  const absl::Time deadline = SteadyNow() + timeout;
  std::vector<Channel> channels;
  std::string page_token;
  do {
    absl::StatusOr<ChannelPage> page =
        connection_->ListChannels(name_prefix, page_token, deadline - SteadyNow());
    if (!page.ok()) return page.status();
    std::move(page->channels.begin(), page->channels.end(), std::back_inserter(channels));
    page_token = std::move(page->next_page_token);
  } while (!page_token.empty());
  return channels;
}

absl::StatusOr<std::vector<SchemaVersion>> Messenger::ListSchemas(const std::string& name,
                                                                  absl::Duration timeout) {
  const absl::Time deadline = SteadyNow() + timeout;
  std::vector<SchemaVersion> versions;
  std::string page_token;
  do {
    absl::StatusOr<SchemaPage> page = connection_->ListSchemas(name, page_token, deadline - SteadyNow());
    if (!page.ok()) return page.status();
    std::move(page->versions.begin(), page->versions.end(), std::back_inserter(versions));
    page_token = std::move(page->next_page_token);
  } while (!page_token.empty());
  return versions;
}

absl::Status Messenger::Follow(const std::string& name_pattern) {
  if (absl::Status status = CheckPattern(name_pattern); !status.ok()) return status;
  watcher_.Follow(name_pattern);
  return absl::OkStatus();
}

void Messenger::Deliver(LeaseTable::Events events) {
  for (const MessengerEvent& event : events) {
    event_counts_[static_cast<size_t>(event.kind)].fetch_add(1, std::memory_order_relaxed);
  }
  if (!options_.on_event && listeners_.empty()) return;
  events_.Add([this, events = std::move(events)] {
    for (const MessengerEvent& event : events) {
      if (options_.on_event) options_.on_event(event);
      listeners_.Tell(event);
    }
  });
}

MessengerMetrics Messenger::metrics() const {
  MessengerMetrics metrics = {.calls = connection_->Calls()};
  for (size_t kind = 0; kind < kMessengerEventKinds; ++kind) {
    metrics.events[static_cast<MessengerEventKind>(kind)] =
        event_counts_[kind].load(std::memory_order_relaxed);
  }
  metrics.broker_losses = metrics.events[MessengerEventKind::kBrokerUnreachable];
  metrics.reconnections = metrics.events[MessengerEventKind::kBrokerBack];
  const LeaseKeeper::Slack slack = keeper_.slack();
  metrics.last_lease_slack = slack.last;
  metrics.min_lease_slack = slack.least;
  metrics.directory_hits = directory_hits_.load(std::memory_order_relaxed);
  metrics.directory_misses = directory_misses_.load(std::memory_order_relaxed);
  const ChannelWatcher::Counts watched = watcher_.counts();
  metrics.watch_streams = watched.streams;
  metrics.watch_snapshots = watched.snapshots;
  metrics.watch_events = watched.events;
  metrics.directory_is_fresh = directory().is_fresh();
  metrics.directory_channels = directory().size();
  metrics.directory_revision = directory().revision();
  return metrics;
}

}  // namespace pylabhub
