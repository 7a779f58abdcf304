#include "tests/bench/iceoryx_subject.h"

#include <unistd.h>

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "iceoryx_hoofs/log/logmanager.hpp"
#include "iceoryx_posh/popo/untyped_publisher.hpp"
#include "iceoryx_posh/popo/untyped_subscriber.hpp"
#include "iceoryx_posh/popo/wait_set.hpp"
#include "iceoryx_posh/runtime/posh_runtime.hpp"
#include "tests/bench/roudi.h"
#include "tests/bench/transport.h"
#include "tests/bench/waiting.h"

namespace pylabhub::bench {
namespace {

iox::capro::ServiceDescription ServiceOf(Lane lane) {
  if (lane == Lane::kThere) return {"pylabhub", "bench", "there"};
  return {"pylabhub", "bench", "back"};
}

// Once in each process that uses iceoryx.
void JoinRoudi() {
  iox::log::LogManager::GetLogManager().SetDefaultLogLevel(iox::log::LogLevel::kError,
                                                           iox::log::LogLevelOutput::kHideLogLevel);
  iox::runtime::PoshRuntime::initRuntime(
      iox::RuntimeName_t(iox::cxx::TruncateToCapacity, absl::StrCat("pylabhub-bench-", getpid()).c_str()));
}

bool Overwrites(const Bench& bench) { return bench.shape == Shape::kOverwrite; }

class IceoryxTransport {
 public:
  static constexpr absl::string_view kName = "iceoryx";
  // It either polls or sleeps; but what is opened, and who dies, does not depend on that.
  static bool Carries(const Bench& bench) {
    if (bench.shape == Shape::kWriterDeath) return false;  // its readers are not told
    return bench.waiting != Waiting::kAdaptive || bench.shape != Shape::kRoundTrip;
  }
  static absl::StatusOr<std::unique_ptr<IceoryxTransport>> Create(const Bench& bench) {
    const uint64_t lanes = bench.shape == Shape::kRoundTrip ? 2 : 1;
    // Besides what the queues hold, the chunks in the hands of writers and readers.
    const uint64_t chunks = lanes * (bench.capacity_slots + 8 * bench.readers);
    absl::StatusOr<Roudi> roudi =
        Roudi::Start(bench.payload_bytes, chunks, bench.shape == Shape::kReaderDeath);
    if (!roudi.ok()) return roudi.status();
    return std::make_unique<IceoryxTransport>(bench, *std::move(roudi));
  }

  IceoryxTransport(const Bench& bench, Roudi roudi) : bench_(bench), roudi_(std::move(roudi)) {}

  class Writer {
   public:
    Writer(const Bench& bench, Lane lane)
        : payload_bytes_(static_cast<uint32_t>(bench.payload_bytes)),
          publisher_(ServiceOf(lane),
                     {.subscriberTooSlowPolicy =
                          Overwrites(bench) ? iox::popo::ConsumerTooSlowPolicy::DISCARD_OLDEST_DATA
                                            : iox::popo::ConsumerTooSlowPolicy::WAIT_FOR_CONSUMER}) {}

    template <typename Fill>
    bool Write(uint64_t deadline_ticks, Fill fill) {
      // The reader subscribes after the writer is there.
      if (!connected_ && !WaitForSubscriber(deadline_ticks)) return false;
      auto loan = publisher_.loan(payload_bytes_);
      if (loan.has_error()) return false;
      fill(loan.value());
      publisher_.publish(loan.value());
      return true;
    }

   private:
    bool WaitForSubscriber(uint64_t deadline_ticks) {
      connected_ = SpinUntil(deadline_ticks, [this] { return publisher_.hasSubscribers(); });
      return connected_;
    }

    const uint32_t payload_bytes_;
    iox::popo::UntypedPublisher publisher_;
    bool connected_ = false;
  };

  class Reader {
   public:
    Reader(const Bench& bench, Lane lane)
        : sleeps_(bench.waiting != Waiting::kSpin),
          subscriber_(ServiceOf(lane),
                      {.queueCapacity = bench.capacity_slots,
                       .queueFullPolicy = Overwrites(bench) ? iox::popo::QueueFullPolicy::DISCARD_OLDEST_DATA
                                                            : iox::popo::QueueFullPolicy::BLOCK_PRODUCER}) {}

    absl::Status Subscribe() {
      const bool subscribed = SpinUntil(NowTicks() + TicksOf(kPatienceSeconds), [this] {
        return subscriber_.getSubscriptionState() == iox::SubscribeState::SUBSCRIBED;
      });
      if (!subscribed) return absl::DeadlineExceededError("iceoryx connects no publisher");
      if (sleeps_ && wait_set_.attachState(subscriber_, iox::popo::SubscriberState::HAS_DATA).has_error()) {
        return absl::InternalError("iceoryx's WaitSet takes no subscriber");
      }
      return absl::OkStatus();
    }

    template <typename Use>
    bool Read(uint64_t deadline_ticks, Use use) {
      const void* payload = nullptr;
      const auto arrived = [&] {
        auto taken = subscriber_.take();
        if (taken.has_error()) return false;
        payload = taken.value();
        return true;
      };
      if (!(sleeps_ ? SleepUntil(deadline_ticks, arrived) : SpinUntil(deadline_ticks, arrived))) return false;
      use(payload);
      subscriber_.release(payload);
      return true;
    }

   private:
    template <typename Arrived>
    bool SleepUntil(uint64_t deadline_ticks, Arrived arrived) {
      while (!arrived()) {
        if (NowTicks() > deadline_ticks) return false;
        wait_set_.timedWait(iox::units::Duration::fromMilliseconds(100));
      }
      return true;
    }

    const bool sleeps_;
    iox::popo::UntypedSubscriber subscriber_;
    iox::popo::WaitSet<1> wait_set_;  // after the subscriber that is attached to it
  };

  absl::StatusOr<std::unique_ptr<Writer>> OpenWriter(Lane lane) {
    JoinRoudi();
    return std::make_unique<Writer>(bench_, lane);
  }
  absl::StatusOr<std::unique_ptr<Reader>> OpenReader(Lane lane, uint32_t /*place*/) {
    JoinRoudi();
    auto reader = std::make_unique<Reader>(bench_, lane);
    if (absl::Status status = reader->Subscribe(); !status.ok()) return status;
    return reader;
  }

 private:
  const Bench bench_;
  Roudi roudi_;
};

}  // namespace

Subject IceoryxSubject() { return TransportSubject<IceoryxTransport>(); }

}  // namespace pylabhub::bench
