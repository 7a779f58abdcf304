// How long the others take to go on after a death that concerns them.
//
// A producer's death concerns the consumers: each one's recovery ends with its first slot from the next producer, and
// begins when the kernel has released the dead one's lock, or when it has given back the last slot that the dead one left,
// whichever is later. Of a group, it is the first slot of whichever member comes first: there need not be one for each.
// A consumer's death concerns a lossless producer: its recovery ends when it has committed the first slot for which it had
// to know of the death, and begins with the release, or when it asked for room for that slot.
// Whatever happens meanwhile to another participant of the channel makes the measurement void.
//
// Thread safety: thread-compatible.
#ifndef PYLABHUB_TESTS_CHAOS_RECOVERY_H_
#define PYLABHUB_TESTS_CHAOS_RECOVERY_H_

#include <cstdint>
#include <vector>

#include "tests/chaos/stage.h"

namespace pylabhub::chaos {

class Recovery {
 public:
  explicit Recovery(Stage& stage) : stage_(stage) {}

  // What is measured on the channel is void.
  void Disturb(const Channel& channel);
  // `part` was killed, and its lock released at `release_ns`. To be called before its part is played again.
  void Begin(const Part& part, int64_t release_ns);
  // Looks who has recovered.
  void Look();

  bool IsMeasuring(const Channel& channel) const;
  // In milliseconds.
  const std::vector<double>& after_producers() const { return after_producers_; }
  const std::vector<double>& after_consumers() const { return after_consumers_; }

 private:
  struct Pending {
    const Channel* channel;
    int64_t release_ns;
    ConsumerRecord* consumer;  // it waits for the producer after `generation`
    ProducerRecord* producer;  // or: it waits for the dead
    uint32_t generation;
  };
  bool Finish(const Pending& pending);

  Stage& stage_;
  std::vector<Pending> pending_;
  std::vector<double> after_producers_;
  std::vector<double> after_consumers_;
};

}  // namespace pylabhub::chaos

#endif  // PYLABHUB_TESTS_CHAOS_RECOVERY_H_
