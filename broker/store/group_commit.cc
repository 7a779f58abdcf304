#include "broker/store/group_commit.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "broker/refusal.h"

namespace pylabhub::broker {
namespace {

std::chrono::steady_clock::time_point SteadyNowPlus(absl::Duration delay) {
  return std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(delay);
}

}  // namespace

GroupCommit::GroupCommit(GroupCommitOptions options)
    : options_(std::move(options)),
      read_only_(!options_.damage.empty()),
      read_only_reason_(options_.damage),
      retry_delay_(options_.min_retry_delay) {
  counts_.read_only = read_only_;
  if (options_.store != nullptr) thread_ = std::thread([this] { RunBackground(); });
}

GroupCommit::~GroupCommit() {
  if (options_.store == nullptr) return;
  {
    const Lock lock(mutex_);
    stopped_ = true;
  }
  background_.notify_one();
  thread_.join();
}

GroupCommit::Ticket GroupCommit::Add(std::vector<Change> changes, std::vector<Event> events) {
  if (options_.store == nullptr) {
    if (options_.on_durable && !events.empty()) options_.on_durable(std::move(events));
    return 0;
  }
  const Lock lock(mutex_);
  if (!changes.empty()) ++pending_.last;
  for (Change& change : changes) {
    // What can never be written is not kept for it.
    if (!options_.damage.empty()) break;
    std::string key = change.key;
    pending_.changes.insert_or_assign(std::move(key), std::move(change));
  }
  std::move(events.begin(), events.end(), std::back_inserter(pending_.events));
  if (read_only_) background_.notify_one();
  return pending_.last;
}

GroupCommit::Ticket GroupCommit::last() const {
  const Lock lock(mutex_);
  return pending_.last;
}

absl::Status GroupCommit::Wait(Ticket ticket) {
  if (options_.store == nullptr) return absl::OkStatus();
  Lock lock(mutex_);
  while (durable_ < ticket) {
    if (failed_ >= ticket || read_only_) return RefuseReadOnly();
    if (busy_) {
      const uint64_t its_commit = ticket <= committing_ ? commit_number_ : commit_number_ + 1;
      committed_[its_commit % 2].wait(lock);
    } else {
      CommitPending(lock);
    }
  }
  return absl::OkStatus();
}

void GroupCommit::CommitSoon() {
  if (options_.store == nullptr) return;
  {
    const Lock lock(mutex_);
    commit_soon_ = true;
  }
  background_.notify_one();
}

absl::Status GroupCommit::CheckWritable() const {
  if (options_.store == nullptr) return absl::OkStatus();
  const Lock lock(mutex_);
  return read_only_ ? RefuseReadOnly() : absl::OkStatus();
}

GroupCommit::Counts GroupCommit::counts() const {
  const Lock lock(mutex_);
  Counts counts = counts_;
  counts.pending_changes = pending_.changes.size();
  counts.read_only = read_only_;
  return counts;
}

void GroupCommit::CommitPending(Lock& lock) {
  busy_ = true;
  commit_soon_ = false;
  Batch batch = std::exchange(pending_, {.last = pending_.last});
  committing_ = batch.last;
  const uint64_t number = ++commit_number_;
  lock.unlock();
  std::vector<Row> rows;
  rows.reserve(batch.changes.size());
  for (const auto& [key, change] : batch.changes) rows.push_back(options_.encode(change));
  const absl::Status status = rows.empty() ? absl::OkStatus() : options_.store->Commit(rows);
  lock.lock();
  std::move(batch.events.begin(), batch.events.end(), std::back_inserter(announced_next_));
  status.ok() ? Succeeded(batch) : Failed(std::move(batch), status);
  busy_ = false;
  committed_[number % 2].notify_all();
  // One of those who wait for the next commit begins it; if there is to be none now, all are to know.
  read_only_ ? committed_[(number + 1) % 2].notify_all() : committed_[(number + 1) % 2].notify_one();
  if (commit_soon_ || read_only_ || stopped_) background_.notify_one();
  Announce(lock);
}

void GroupCommit::Announce(Lock& lock) {
  if (announcing_) return;
  announcing_ = true;
  while (!announced_next_.empty()) {
    std::vector<Event> events = std::exchange(announced_next_, {});
    lock.unlock();
    if (options_.on_durable) options_.on_durable(std::move(events));
    lock.lock();
  }
  announcing_ = false;
  if (stopped_) background_.notify_one();
}

void GroupCommit::Succeeded(const Batch& batch) {
  durable_ = batch.last;
  ++counts_.commits;
  counts_.rows += batch.changes.size();
  retry_delay_ = options_.min_retry_delay;
  if (!std::exchange(read_only_, false)) return;
  if (options_.log) {
    options_.log(
        {LogLevel::kWarning, "store_writable_again", {{"rows", absl::StrCat(batch.changes.size())}}});
  }
}

void GroupCommit::Failed(Batch batch, const absl::Status& status) {
  failed_ = batch.last;
  ++counts_.failed_commits;
  // What came since is newer.
  pending_.changes.merge(batch.changes);
  read_only_reason_ = std::string(status.message());
  retry_time_ = SteadyNowPlus(retry_delay_);
  if (options_.log) {
    options_.log({LogLevel::kError,
                  std::exchange(read_only_, true) ? "store_still_read_only" : "store_read_only",
                  {{"message", read_only_reason_},
                   {"pending_changes", absl::StrCat(pending_.changes.size())},
                   {"retry_after", absl::FormatDuration(retry_delay_)}}});
  }
  read_only_ = true;
  retry_delay_ = std::min(retry_delay_ * 2, options_.max_retry_delay);
}

absl::Status GroupCommit::RefuseReadOnly() const {
  return Refuse(
      Reason::kStoreReadOnly,
      absl::StrCat("nothing new can be made durable, what is known is still served: ", read_only_reason_), {},
      options_.damage.empty() ? retry_delay_ : options_.max_retry_delay);
}

bool GroupCommit::IsTimeToRetry() const {
  return options_.damage.empty() && std::chrono::steady_clock::now() >= retry_time_;
}

void GroupCommit::RunBackground() {
  Lock lock(mutex_);
  while (!stopped_) {
    const bool free = !busy_;
    if (free && read_only_ && !pending_.events.empty()) {
      std::move(pending_.events.begin(), pending_.events.end(), std::back_inserter(announced_next_));
      pending_.events.clear();
      Announce(lock);
    } else if (free && (read_only_ ? IsTimeToRetry() : commit_soon_)) {
      CommitPending(lock);
    } else if (free && read_only_ && options_.damage.empty()) {
      background_.wait_until(lock, retry_time_);
    } else {
      background_.wait(lock);
    }
  }
  background_.wait(lock, [this] { return !busy_ && !announcing_; });
  if (options_.damage.empty() && !pending_.changes.empty()) CommitPending(lock);
}

}  // namespace pylabhub::broker
