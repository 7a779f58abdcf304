// A thousand watchers on a hundred connections: each is told everything, soon, and the broker does not grow.
// Prints how long it takes from a registration until the last has been told.

#include <grpcpp/completion_queue.h>
#include <grpcpp/support/async_stream.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/broker/wire_fixture.h"

namespace pylabhub::broker {
namespace {

constexpr int kConnections = 100;
constexpr int kStreamsPerConnection = 10;
constexpr int kStreams = kConnections * kStreamsPerConnection;
#ifdef __SANITIZE_ADDRESS__
constexpr size_t kMayGrowBytes = size_t{256} << 20;  // it keeps so much of what was freed
#else
constexpr size_t kMayGrowBytes = size_t{16} << 20;
#endif
constexpr int kRounds = 30;

size_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  size_t size = 0;
  size_t resident = 0;
  file >> size >> resident;
  return resident * 4096;
}

// Streams of which a test needs to know only how much came: read one message after the other, on the caller's thread.
class ManyWatchers {
 public:
  ~ManyWatchers() {
    for (const auto& stream : streams_) stream->context.TryCancel();
    queue_.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
    }
  }

  void Watch(v1::Broker::Stub& stub) {
    streams_.push_back(std::make_unique<Stream>());
    Stream& stream = *streams_.back();
    stream.reader = stub.AsyncWatch(&stream.context, {}, &queue_, &stream);
  }

  // Reads until `count` more events have come that are bookmarks, or that are not. Returns false after 30 s.
  bool Await(size_t count, bool bookmarks) {
    const auto deadline = std::chrono::system_clock::now() + std::chrono::seconds(30);
    while (count > 0) {
      void* tag = nullptr;
      bool ok = false;
      if (queue_.AsyncNext(&tag, &ok, deadline) != grpc::CompletionQueue::GOT_EVENT || !ok) return false;
      Stream& stream = *static_cast<Stream*>(tag);
      for (const v1::WatchEvent& event : stream.response.events()) {
        if ((event.kind() == v1::WATCH_EVENT_KIND_BOOKMARK) == bookmarks && count > 0) --count;
      }
      stream.response.Clear();
      stream.reader->Read(&stream.response, &stream);
    }
    return true;
  }

 private:
  struct Stream {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientAsyncReader<v1::WatchResponse>> reader;
    v1::WatchResponse response;
  };

  grpc::CompletionQueue queue_;
  std::vector<std::unique_ptr<Stream>> streams_;
};

TEST(WatchManyTest, AThousandWatchersOnAHundredConnectionsAreAllToldAndTheBrokerDoesNotGrow) {
  const testing::TestAuthority authority;
  const auto broker = testing::StartTestBroker(authority);
  WireClient producer(testing::ConnectWith(broker->target(), authority.Client("producer")),
                      "session-of-producer");
  ASSERT_TRUE(producer.Register("first").status.ok());
  const tls::TlsFiles files = authority.Client("watcher");
  std::vector<std::unique_ptr<v1::Broker::Stub>> stubs;
  ManyWatchers watchers;
  for (int i = 0; i < kConnections; ++i) {
    stubs.push_back(v1::Broker::NewStub(testing::ConnectWith(broker->target(), files)));
    for (int j = 0; j < kStreamsPerConnection; ++j) watchers.Watch(*stubs.back());
  }
  ASSERT_TRUE(watchers.Await(kStreams, /*bookmarks=*/true));

  std::vector<absl::Duration> delays;
  size_t resident_bytes = 0;
  for (int round = 0; round < kRounds; ++round) {
    const absl::Time start = absl::Now();
    ASSERT_TRUE(producer.Register(absl::StrCat("channel.", round)).status.ok());
    ASSERT_TRUE(watchers.Await(kStreams, /*bookmarks=*/false)) << "in round " << round;
    delays.push_back(absl::Now() - start);
    if (round == kRounds / 2) resident_bytes = ResidentBytes();
  }
  std::sort(delays.begin(), delays.end());
  std::printf("registered until the last of %d watchers was told: p50 %s, p99 %s\n", kStreams,
              absl::FormatDuration(delays[kRounds / 2]).c_str(), absl::FormatDuration(delays.back()).c_str());
  // Both ends are in this process; once everything is warm, being told takes no memory.
  EXPECT_LT(ResidentBytes(), resident_bytes + kMayGrowBytes);
}

}  // namespace
}  // namespace pylabhub::broker
