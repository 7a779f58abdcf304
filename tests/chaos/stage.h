// All channels of a chaos run with their processes: starts them, starts them again, kills, stops and continues them.
//
// Thread safety: thread-compatible; the process has one thread.
#ifndef PYLABHUB_TESTS_CHAOS_STAGE_H_
#define PYLABHUB_TESTS_CHAOS_STAGE_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/chaos/cast.h"
#include "tests/chaos/children.h"
#include "tests/chaos/ledger.h"
#include "tests/chaos/life_lock.h"

namespace pylabhub::chaos {

struct Channel {
  ChannelPlan plan;
  Shared<Ledger> ledger;
};

// Somebody's part in a channel; process after process plays it. One part, the janitor's, is in none.
struct Part {
  size_t index;
  Channel* channel;              // null for the janitor
  const ConsumerPlan* consumer;  // null for a producer
  Shared<Post> post;
  uint64_t incarnation = 0;
  int64_t continue_ns = 0;  // stopped until then; 0 if it is not

  bool is_janitor() const { return channel == nullptr; }
  bool is_producer() const { return consumer == nullptr && channel != nullptr; }
  std::string name() const;
  bool stopped() const { return continue_ns != 0; }
  // True for the producer that has the channel.
  bool has_channel() const { return is_producer() && post->generation.load() != 0; }
  // Of a consumer; null before it has one.
  ConsumerRecord* record() const {
    const uint32_t number = post->consumer.load();
    return number == 0 ? nullptr : &channel->ledger->consumer[number - 1];
  }
};

class Stage {
 public:
  Stage(const std::string& directory, uint64_t seed);

  std::vector<std::unique_ptr<Channel>>& channels() { return channels_; }
  std::vector<std::unique_ptr<Part>>& parts() { return parts_; }

  void StartAll();
  // Kills a process. Returns once the kernel has dropped its lock, if it held one: the time of that, if so.
  std::optional<int64_t> Kill(Part& part);
  void Stop(Part& part, int64_t continue_ns);
  void ContinueThoseDue(int64_t now_ns);
  // Reaps who has ended, and plays its part with a new process. Waits for an end until `deadline`, at most.
  void Restart(std::chrono::steady_clock::time_point deadline);
  // Everybody comes to an end. The number of those who did not.
  int End();

  // One of the channel, or the janitor, who may be at work on it.
  bool AnyStopped(const Channel& channel) const;
  // The part whose process has the channel, if one has.
  Part* ProducerOf(const Channel& channel) const;
  const std::vector<std::string>& faults() const { return faults_; }

 private:
  void Start(Part& part);
  static void AnnounceVacancy(Channel& channel);
  void Judge(const Children::End& end);
  std::optional<LifeLock> LockOf(const Part& part) const;

  std::string directory_;
  uint64_t seed_;
  std::vector<std::unique_ptr<Channel>> channels_;
  std::vector<std::unique_ptr<Part>> parts_;
  Children children_;
  std::vector<std::string> faults_;
};

}  // namespace pylabhub::chaos

#endif  // PYLABHUB_TESTS_CHAOS_STAGE_H_
