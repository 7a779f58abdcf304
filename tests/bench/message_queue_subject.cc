#include "tests/bench/message_queue_subject.h"

#include <unistd.h>

#include <boost/interprocess/ipc/message_queue.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "tests/bench/transport.h"
#include "tests/bench/waiting.h"

namespace pylabhub::bench {
namespace {

namespace bip = boost::interprocess;

// In absolute time, as the queue wants it. Only for those who sleep.
std::chrono::system_clock::time_point TimeOf(uint64_t deadline_ticks) {
  const uint64_t now_ticks = NowTicks();
  const double left_ns =
      deadline_ticks > now_ticks ? static_cast<double>(deadline_ticks - now_ticks) * NsPerTick() : 0;
  return std::chrono::system_clock::now() + std::chrono::nanoseconds(static_cast<int64_t>(left_ns));
}

// The queue copies on both sides, so each side has a buffer of its own.
class MessageQueueTransport {
 public:
  static constexpr absl::string_view kName = "boost";
  static bool Carries(const Bench& bench) {
    const bool shape = bench.shape == Shape::kRoundTrip || bench.shape == Shape::kStream;
    return shape && bench.readers == 1 && bench.waiting != Waiting::kAdaptive;
  }
  static absl::StatusOr<std::unique_ptr<MessageQueueTransport>> Create(const Bench& bench) {
    auto transport = std::make_unique<MessageQueueTransport>(bench);
    for (int lane = 0; lane < 2; ++lane) {
      const std::string name = absl::StrCat("pylabhub.bench.", getpid(), ".", lane);
      try {
        transport->queues_[lane] = std::make_unique<bip::message_queue>(
            bip::create_only, name.c_str(), bench.capacity_slots, bench.payload_bytes);
      } catch (const bip::interprocess_exception& failure) {
        return absl::UnavailableError(absl::StrCat("no message queue: ", failure.what()));
      }
      // The children inherit the mapping, so the name is not needed.
      bip::message_queue::remove(name.c_str());
    }
    return transport;
  }

  explicit MessageQueueTransport(const Bench& bench) : bench_(bench) {}

  // An end of one queue, with its buffer.
  struct End {
    bip::message_queue& queue;
    bool sleeps;
    std::vector<char> buffer;
  };

  class Writer {
   public:
    explicit Writer(End end) : end_(std::move(end)) {}

    template <typename Fill>
    bool Write(uint64_t deadline_ticks, Fill fill) {
      fill(end_.buffer.data());
      const char* const data = end_.buffer.data();
      const size_t bytes = end_.buffer.size();
      if (end_.queue.try_send(data, bytes, 0)) return true;
      if (end_.sleeps) return end_.queue.timed_send(data, bytes, 0, TimeOf(deadline_ticks));
      return SpinUntil(deadline_ticks, [&] { return end_.queue.try_send(data, bytes, 0); });
    }

   private:
    End end_;
  };

  class Reader {
   public:
    explicit Reader(End end) : end_(std::move(end)) {}

    template <typename Use>
    bool Read(uint64_t deadline_ticks, Use use) {
      char* const data = end_.buffer.data();
      const size_t room_bytes = end_.buffer.size();
      size_t bytes = 0;
      unsigned priority = 0;
      const auto arrived = [&] { return end_.queue.try_receive(data, room_bytes, bytes, priority); };
      const bool received =
          arrived() ||
          (end_.sleeps ? end_.queue.timed_receive(data, room_bytes, bytes, priority, TimeOf(deadline_ticks))
                       : SpinUntil(deadline_ticks, arrived));
      if (!received || bytes != room_bytes) return false;
      use(data);
      return true;
    }

   private:
    End end_;
  };

  absl::StatusOr<std::unique_ptr<Writer>> OpenWriter(Lane lane) {
    return std::make_unique<Writer>(EndOf(lane));
  }
  absl::StatusOr<std::unique_ptr<Reader>> OpenReader(Lane lane, uint32_t /*place*/) {
    return std::make_unique<Reader>(EndOf(lane));
  }

 private:
  End EndOf(Lane lane) const {
    // Two that spin for one mutex keep it from each other; a stream goes faster when they sleep.
    const bool sleeps = bench_.waiting == Waiting::kSleep || bench_.shape == Shape::kStream;
    return {*queues_[lane == Lane::kBack], sleeps, std::vector<char>(bench_.payload_bytes)};
  }

  const Bench bench_;
  std::unique_ptr<bip::message_queue> queues_[2];
};

}  // namespace

Subject MessageQueueSubject() { return TransportSubject<MessageQueueTransport>(); }

}  // namespace pylabhub::bench
