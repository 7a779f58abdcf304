// Counts the calls that are being served, so that a server can end without cutting one off, and without
// waiting for connections on which nothing happens (gRPC's own shutdown waits for those, up to its deadline).
#ifndef PYLABHUB_BROKER_CALL_GATE_H_
#define PYLABHUB_BROKER_CALL_GATE_H_

#include <condition_variable>
#include <mutex>

#include "absl/time/time.h"

namespace pylabhub::broker {

// Thread safety: thread-safe.
class CallGate {
 public:
  // A call's way through the gate; it leaves when this ends.
  class Pass {
   public:
    explicit Pass(CallGate& gate) : gate_(gate), admitted_(gate.Enter()) {}
    ~Pass() {
      if (admitted_) gate_.Leave();
    }
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;

    // False once the gate is closed: the call is to be refused.
    bool admitted() const { return admitted_; }

   private:
    CallGate& gate_;
    const bool admitted_;
  };

  // Admits no more calls, and waits until those inside have left, at most for `grace`.
  void Close(absl::Duration grace) {
    std::unique_lock<std::mutex> lock(mutex_);
    closed_ = true;
    left_.wait_for(lock, absl::ToChronoMilliseconds(grace), [this] { return call_count_ == 0; });
  }

 private:
  bool Enter() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!closed_) ++call_count_;
    return !closed_;
  }
  void Leave() {
    const std::lock_guard<std::mutex> lock(mutex_);
    --call_count_;
    left_.notify_all();
  }

  // Not absl::Mutex: Debian's is not built for ThreadSanitizer, which then sees races where there are none.
  std::mutex mutex_;
  std::condition_variable left_;
  bool closed_ = false;  // both under mutex_
  int call_count_ = 0;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_CALL_GATE_H_
