// closing.notice: from the moment when a producer's lease ends to the call of a consumer's on_event, over mutual TLS on this
// host; and from the call that gives a channel up. Prints the median and the longest of each.
//
//   bazel run --config=opt //tests/bench/control:closing_notice_bench
#include <gtest/gtest.h>

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "client/grpc_broker_connection.h"
#include "client/messenger.h"
#include "client/session_id.h"
#include "proto/tls/certificate_set.h"
#include "tests/support/lab_broker.h"

namespace pylabhub {
namespace {

constexpr int kRounds = 40;
constexpr absl::Duration kLeaseTtl = absl::Seconds(1);

// When each channel's closing was told.
class Notices {
 public:
  MessengerEventHook Hook() {
    return [this](const MessengerEvent& event) {
      if (event.kind != MessengerEventKind::kChannelClosing) return;
      const std::lock_guard lock(mutex_);
      times_[event.channel] = absl::Now();
      changed_.notify_all();
    };
  }
  absl::Time Await(const std::string& channel) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return times_.contains(channel); });
    return times_[channel];
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, absl::Time> times_;
};

void Report(const char* what, std::vector<absl::Duration> took) {
  std::sort(took.begin(), took.end());
  std::printf("%-28s p50 %8.3f ms   longest %8.3f ms   (%zu)\n", what,
              absl::ToDoubleMilliseconds(took[took.size() / 2]), absl::ToDoubleMilliseconds(took.back()),
              took.size());
}

TEST(ClosingNoticeBench, FromLapseToCallback) {
  const testing::LabBroker broker(kLeaseTtl);
  Notices notices;
  const auto consumer = *Messenger::Connect(broker.ToHere(notices.Hook()));
  const absl::StatusOr<tls::TlsFiles> files =
      tls::LoadTlsFiles(tls::ClientPathsIn(broker.certificates_folder()));
  ASSERT_TRUE(files.ok()) << files.status();
  const auto connection = NewGrpcBrokerConnection(broker.address(), "", *files);
  std::vector<absl::Duration> lapses;
  std::vector<absl::Duration> deregistrations;
  for (int round = 0; round < kRounds; ++round) {
    const bool lapses_now = round % 2 == 0;
    const std::string name = "channel." + std::to_string(round);
    const std::string session = RandomSessionId();
    ASSERT_TRUE(connection->Register(session, {.name = name, .segment_id = {1}}, false, kLeaseTtl).ok());
    // The broker counts from when it reads the heartbeat, which is later: so the figure is the longest that it can be.
    const absl::Time sent = absl::Now();
    ASSERT_TRUE(connection->Heartbeat(session, {.channels = {{.name = name}}}, kLeaseTtl).ok());
    ASSERT_TRUE(consumer->RegisterConsumer({.channel = name}).get().ok());
    while (!consumer->directory().Covers(name)) absl::SleepFor(absl::Milliseconds(1));
    if (lapses_now) {
      lapses.push_back(notices.Await(name) - (sent + kLeaseTtl));
    } else {
      const absl::Time given_up = absl::Now();
      ASSERT_TRUE(connection->Deregister(session, name, 0, kLeaseTtl).ok());
      deregistrations.push_back(notices.Await(name) - given_up);
    }
    ASSERT_TRUE(consumer->DeregisterConsumer({.channel = name}).get().ok());
  }
  Report("closing.notice", lapses);
  Report("closing.notice.given_up", deregistrations);
}

}  // namespace
}  // namespace pylabhub
