#include "broker/watch_loop.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "broker/refusal.h"
#include "broker/steady_wait.h"

namespace pylabhub::broker {
namespace {

constexpr absl::Duration kTick = absl::Seconds(1);
// Calls that may arrive before the thread has looked at the first.
constexpr int kWaitingStreams = 4;

}  // namespace

WatchLoop::WatchLoop(WatchShared& shared, size_t number, std::unique_ptr<grpc::ServerCompletionQueue> queue)
    : shared_(shared), number_(number), queue_(std::move(queue)) {}

WatchLoop::~WatchLoop() { Stop(); }

void WatchLoop::Start() {
  for (int i = 0; i < kWaitingStreams; ++i) Accept();
  ArmTick();
  thread_ = std::thread([this] { Run(); });
}

void WatchLoop::Run() {
  void* tag = nullptr;
  bool ok = false;
  while (queue_->Next(&tag, &ok)) static_cast<Completion*>(tag)->Run(ok);
}

void WatchLoop::Wake() {
  absl::MutexLock lock(&mutex_);
  if (is_waking_ || is_stopped_) return;
  is_waking_ = true;
  wake_.Set(queue_.get(), gpr_time_0(GPR_CLOCK_MONOTONIC), on_wake_.tag());
}

void WatchLoop::CheckPeers() {
  {
    absl::MutexLock lock(&mutex_);
    checks_peers_ = true;
  }
  Wake();
}

void WatchLoop::Drain(absl::Time end_time) {
  {
    absl::MutexLock lock(&mutex_);
    end_time_ = std::min(end_time_, end_time);
  }
  Wake();
}

bool WatchLoop::AwaitNoStreams(absl::Duration timeout) {
  const auto none = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return open_count_ == 0; };
  absl::MutexLock lock(&mutex_);
  return AwaitSteadily(mutex_, fewer_streams_, timeout, none);
}

void WatchLoop::Stop() {
  if (!thread_.joinable()) {
    queue_->Shutdown();
    Run();
    return;
  }
  {
    absl::MutexLock lock(&mutex_);
    is_stopping_ = true;
  }
  Wake();
  thread_.join();
}

void WatchLoop::OnWake(bool) {
  bool stops = false;
  bool checks_peers = false;
  {
    absl::MutexLock lock(&mutex_);
    is_waking_ = false;
    checks_peers = std::exchange(checks_peers_, false);
    stops = is_stopping_;
    is_stopped_ = is_stopping_;
  }
  if (!stops) {
    // First, so that who may not call any more is told nothing more.
    const std::vector<WatchStream*> open(open_.begin(), open_.end());
    for (WatchStream* stream : checks_peers ? open : std::vector<WatchStream*>()) stream->CheckPeer();
    return Collect();
  }
  // On this thread, so that no stream begins an operation on a queue that is shut down.
  closed_ = true;
  tick_.Cancel();
  queue_->Shutdown();
}

void WatchLoop::OnTick(bool) {
  if (closed_) return;
  Collect();
  const absl::Time now = SteadyNow();
  // A copy, since a stream that ends is forgotten.
  const std::vector<WatchStream*> open(open_.begin(), open_.end());
  for (WatchStream* stream : open) stream->OnTick(now);
  ArmTick();
}

void WatchLoop::Collect() {
  const absl::Time now = SteadyNow();
  // First, so that nobody is told what it has just lost the right to.
  TellStreamsIfRightsChanged();
  for (const WatcherId id : shared_.feed.Collect(number_, now)) {
    const auto found = by_watcher_.find(id);
    if (found != by_watcher_.end()) found->second->OnReady();
  }
  EndStreamsIfDue(now);
}

void WatchLoop::TellStreamsIfRightsChanged() {
  const uint64_t generation = shared_.access.generation();
  if (std::exchange(policy_generation_, generation) == generation) return;
  const std::vector<WatchStream*> open(open_.begin(), open_.end());
  for (WatchStream* stream : open) stream->OnRightsChanged();
}

void WatchLoop::EndStreamsIfDue(absl::Time now) {
  {
    absl::MutexLock lock(&mutex_);
    if (ended_ || now < end_time_) return;
  }
  ended_ = true;
  const std::vector<WatchStream*> open(open_.begin(), open_.end());
  for (WatchStream* stream : open) stream->EndWith(RefuseShuttingDown());
}

void WatchLoop::ArmTick() {
  tick_.Set(queue_.get(), absl::ToChronoTime(absl::Now() + kTick), on_tick_.tag());
}

bool WatchLoop::is_draining() {
  absl::MutexLock lock(&mutex_);
  return end_time_ != absl::InfiniteFuture();
}

void WatchLoop::Accept() {
  auto stream = std::make_unique<WatchStream>(*this);
  WatchStream* const key = stream.get();
  streams_.emplace(key, std::move(stream));
}

void WatchLoop::AcceptAnother(WatchStream& stream) {
  open_.insert(&stream);
  {
    absl::MutexLock lock(&mutex_);
    ++open_count_;
  }
  if (may_start()) Accept();
}

void WatchLoop::LogCutOff(const std::string& identity, const std::string& peer, const absl::Status& status) {
  if (!shared_.log) return;
  const auto details = DetailsOf(status);
  shared_.log(
      {.level = LogLevel::kWarning,
       .event = "watcher_too_slow",
       .fields = {
           {"identity", identity}, {"peer", peer}, {"lag_events", details->metadata.at("lag_events")}}});
}

void WatchLoop::Forget(WatchStream& stream) {
  if (stream.watcher_id().has_value()) by_watcher_.erase(*stream.watcher_id());
  const bool was_open = open_.erase(&stream) > 0;
  streams_.erase(&stream);
  if (!was_open) return;
  absl::MutexLock lock(&mutex_);
  --open_count_;
  fewer_streams_.notify_all();
}

}  // namespace pylabhub::broker
