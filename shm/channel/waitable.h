// What a WaitSet asks of whatever it waits for: today a consumer, for its next slot or its next producer.
//
// Thread safety: thread-compatible; a Waitable and who waits for it belong to one thread.
#ifndef PYLABHUB_SHM_CHANNEL_WAITABLE_H_
#define PYLABHUB_SHM_CHANNEL_WAITABLE_H_

#include "shm/os/futex.h"

namespace pylabhub::shm {

class Waitable {
 public:
  // Who waits for it.
  class Waiter {
   public:
    // The word that BeginSleep returned last goes away: returns when no thread sleeps on it.
    virtual void LetGo(Waitable& waitable) = 0;
    // The same, and `waitable` itself goes.
    virtual void Forget(Waitable& waitable) = 0;

   protected:
    ~Waiter() = default;
  };

  // True if there is something to be had. No system call; looked at again and again.
  virtual bool IsReady() const = 0;
  // Asks the kernel who is still there: a few system calls. Called every kLivenessInterval, or less often.
  virtual void LookAtPeer() = 0;

  // Says that its owner is going to sleep, and answers the word that changes when it gets ready, with what it held
  // before. Edge W (ring_reader.h): the caller looks at IsReady once more, and then sleeps.
  virtual FutexWord BeginSleep() = 0;
  // `told`: it slept for long enough that the peer knows of it.
  virtual void EndSleep(bool told) = 0;
  // False if the peer may miss the next sleep, which then must be no longer than kFirstSleep.
  virtual bool PeerKnowsOfSleeps() const = 0;
  // Once after a wait that slept.
  virtual void CountWait() = 0;

  Waiter* waiter() const { return waiter_; }
  void set_waiter(Waiter* waiter) { waiter_ = waiter; }

 protected:
  ~Waitable() = default;

 private:
  Waiter* waiter_ = nullptr;
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_CHANNEL_WAITABLE_H_
