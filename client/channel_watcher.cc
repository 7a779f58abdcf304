#include "client/channel_watcher.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/error_reason.h"
#include "client/name_pattern.h"

namespace pylabhub {
namespace {

constexpr absl::Duration kFirstRetry = absl::Milliseconds(50);
constexpr absl::Duration kRetryLimit = absl::Seconds(2);
constexpr absl::Duration kUnimplementedRetry = absl::Minutes(1);
// Until the broker has another policy, perhaps.
constexpr absl::Duration kDeniedRetry = absl::Seconds(10);
// Between two streams where one name after the other is asked for: the names that come meanwhile share the next one.
constexpr absl::Duration kFirstWidening = absl::Milliseconds(20);
constexpr absl::Duration kWideningLimit = absl::Seconds(1);
// A stream that lasted so long was not widened in a row.
constexpr absl::Duration kCalm = absl::Seconds(2);

std::chrono::steady_clock::time_point ToSteady(absl::Duration from_now) {
  return std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(std::min(from_now, absl::Hours(24)));
}

}  // namespace

ChannelWatcher::ChannelWatcher(BrokerConnection& connection, Options options)
    : connection_(connection), options_(std::move(options)) {
  const std::lock_guard lock(mutex_);
  for (const std::string& pattern : options_.patterns) interest_.AddPattern(pattern);
  if (!options_.patterns.empty()) BeginStreamAnew();
}

void ChannelWatcher::Follow(const std::string& pattern) {
  const std::lock_guard lock(mutex_);
  interest_.AddPattern(pattern);
  const auto in_use = std::find(patterns_in_use_.begin(), patterns_in_use_.end(), pattern);
  if (in_use == patterns_in_use_.end()) BeginStreamAnew();
}

void ChannelWatcher::Ask(const std::string& name) {
  if (!options_.follows_names || !IsChannelName(name)) return;
  const std::lock_guard lock(mutex_);
  interest_.Ask(name);
  if (patterns_in_use_.empty() || !NameMatchesAny(name, patterns_in_use_)) BeginStreamAnew();
}

void ChannelWatcher::Consume(const std::string& name) {
  if (!options_.follows_names) return;
  const std::lock_guard lock(mutex_);
  if (patterns_in_use_.empty() || !NameMatchesAny(name, patterns_in_use_)) BeginStreamAnew();
}

void ChannelWatcher::BeginStreamAnew() {
  if (stopping_) return;
  if (!thread_.joinable()) {
    thread_ = std::thread([this] { Run(); });
  } else if (stream_ != nullptr && !widening_) {
    widening_ = true;
    stream_->Cancel();
  }
  // Else a stream is about to begin, with everything that is wanted by then.
}

void ChannelWatcher::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    if (stream_ != nullptr) stream_->Cancel();
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void ChannelWatcher::Pause(std::unique_lock<std::mutex>& lock, absl::Duration duration) {
  changed_.wait_until(lock, ToSteady(duration), [this] { return stopping_; });
}

WatchRequest ChannelWatcher::BeginStream() {
  patterns_in_use_ =
      interest_.Patterns(options_.follows_names ? options_.consumed_names() : std::vector<std::string>());
  WatchRequest request = directory_.Begin(patterns_in_use_);
  ++counts_.streams;
  if (request.snapshot) ++counts_.snapshots;
  widening_ = false;
  stream_ = connection_.Watch(request);
  return request;
}

void ChannelWatcher::Run() {
  Backoff retry(kFirstRetry, kRetryLimit);
  Backoff widening_pause(kFirstWidening, kWideningLimit);
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const WatchRequest request = BeginStream();
    WatchStream& stream = *stream_;
    const auto start = std::chrono::steady_clock::now();
    lock.unlock();
    const absl::Status status = Read(stream);
    if (directory_.is_fresh()) retry.Reset();
    if (absl::FromChrono(std::chrono::steady_clock::now() - start) > kCalm) widening_pause.Reset();
    directory_.End(status);
    lock.lock();
    std::unique_ptr<WatchStream> ended = std::move(stream_);
    const bool widening = widening_;
    changed_.notify_all();
    lock.unlock();
    // With no lock held: that may wait for the connection.
    ended.reset();
    if (!widening && !absl::IsCancelled(status)) {
      options_.log(absl::StrCat("the watch stream ended: ", status.message()));
    }
    lock.lock();
    if (widening) {
      Pause(lock, widening_pause.Next());
    } else if (absl::IsUnimplemented(status)) {
      Pause(lock, kUnimplementedRetry);
    } else if (absl::IsPermissionDenied(status)) {
      Pause(lock, kDeniedRetry);
    } else if (ReasonOf(status) != reason::kRevisionCompacted || request.snapshot) {
      Pause(lock, std::max(retry.Next(), RetryDelayOf(status).value_or(absl::ZeroDuration())));
    }
  }
}

absl::Status ChannelWatcher::Read(WatchStream& stream) {
  while (true) {
    absl::StatusOr<WatchBatch> batch = stream.Next();
    if (!batch.ok()) return batch.status();
    const bool was_fresh = directory_.is_fresh();
    const size_t events = batch->events.size();
    WarmDirectory::Changes changes;
    if (absl::Status status = directory_.Apply(*std::move(batch), changes); !status.ok()) return status;
    {
      const std::lock_guard lock(mutex_);
      counts_.events += events;
    }
    Announce(changes, !was_fresh && directory_.is_fresh());
  }
}

void ChannelWatcher::Announce(const WarmDirectory::Changes& changes, bool became_fresh) {
  {
    const std::lock_guard lock(mutex_);
    const bool is_awaited =
        !awaited_.empty() &&
        std::any_of(changes.begin(), changes.end(), [this](const WarmDirectory::ChannelPtr& channel) {
          return awaited_.contains(channel->spec.name);
        });
    if (is_awaited || became_fresh) changed_.notify_all();
  }
  if (!changes.empty()) options_.on_changes(changes);
  if (became_fresh) options_.on_fresh();
}

WarmDirectory::ChannelPtr ChannelWatcher::AwaitReady(const std::string& name, absl::Duration timeout) {
  const auto deadline = ToSteady(timeout);
  WarmDirectory::ChannelPtr found;
  std::unique_lock lock(mutex_);
  // Before it is looked for: a change after this wakes, a change before is seen.
  ++awaited_[name];
  bool covered = directory_.Covers(name);
  changed_.wait_until(lock, deadline, [&] {
    found = directory_.FindReady(name);
    const bool covers = directory_.Covers(name);
    const bool lost = covered && !covers;
    covered = covers;
    return found != nullptr || lost || stopping_;
  });
  const auto waiting = awaited_.find(name);
  if (--waiting->second == 0) awaited_.erase(waiting);
  return found;
}

bool ChannelWatcher::AwaitFresh(absl::Duration timeout) {
  std::unique_lock lock(mutex_);
  return changed_.wait_until(lock, ToSteady(timeout), [this] {
    return directory_.is_fresh() || stopping_;
  }) && !stopping_;
}

ChannelWatcher::Counts ChannelWatcher::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

}  // namespace pylabhub
