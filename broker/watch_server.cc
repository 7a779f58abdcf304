#include "broker/watch_server.h"

#include <functional>
#include <utility>

#include "broker/directory.h"

namespace pylabhub::broker {
namespace {

// Two: one can write while the other does. Events are encoded once, so there is little else to do.
constexpr size_t kLoops = 2;

}  // namespace

WatchServer::WatchServer(WatchableService& service, Directory& directory, CallDesk& desk,
                         const AccessControl& access, WatchFeed& feed, LogHook log)
    : shared_{.service = service,
              .directory = directory,
              .desk = desk,
              .access = access,
              .feed = feed,
              .log = std::move(log),
              .encoder = {}} {}

WatchServer::~WatchServer() { Stop(); }

void WatchServer::AddQueues(grpc::ServerBuilder& builder) {
  for (size_t number = 0; number < kLoops; ++number) {
    // Not "frequently polled": else gRPC has these queues' threads do all the polling, and every other call costs one
    // more hand-over from thread to thread.
    loops_.push_back(std::make_unique<WatchLoop>(shared_, number,
                                                 builder.AddCompletionQueue(/*is_frequently_polled=*/false)));
  }
}

void WatchServer::Start() {
  std::vector<std::function<void()>> wake;
  for (const auto& loop : loops_) wake.emplace_back([&loop = *loop] { loop.Wake(); });
  shared_.feed.SetServers(std::move(wake));
  for (const auto& loop : loops_) loop->Start();
}

void WatchServer::CheckPeers() {
  for (const auto& loop : loops_) loop->CheckPeers();
}

void WatchServer::NoticeRights() {
  for (const auto& loop : loops_) loop->Wake();
}

void WatchServer::Drain(absl::Time end_time) {
  for (const auto& loop : loops_) loop->Drain(end_time);
}

bool WatchServer::AwaitNoStreams(absl::Duration timeout) {
  const absl::Time deadline = SteadyNow() + timeout;
  bool none = true;
  for (const auto& loop : loops_) none = loop->AwaitNoStreams(deadline - SteadyNow()) && none;
  return none;
}

void WatchServer::Stop() {
  shared_.feed.ForgetServers();
  loops_.clear();
}

}  // namespace pylabhub::broker
