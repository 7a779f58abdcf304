// Counts the calls that are being served, so that a server can end without cutting one off, and without
// waiting for connections on which nothing happens (gRPC's own shutdown waits for those, up to its deadline).
#ifndef PYLABHUB_BROKER_CALL_GATE_H_
#define PYLABHUB_BROKER_CALL_GATE_H_

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
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
    absl::MutexLock lock(&mutex_);
    closed_ = true;
    const auto empty = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return call_count_ == 0; };
    mutex_.AwaitWithTimeout(absl::Condition(&empty), grace);
  }

 private:
  bool Enter() {
    absl::MutexLock lock(&mutex_);
    if (!closed_) ++call_count_;
    return !closed_;
  }
  void Leave() {
    absl::MutexLock lock(&mutex_);
    --call_count_;
  }

  absl::Mutex mutex_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  int call_count_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_CALL_GATE_H_
