// The channels of a chaos run, and what the processes on them do until they are killed or told to end.
//
// Every channel has two producers, of which one has the channel and the other waits for it to become free, and some
// consumers, who hold slots for various times, leave and come back.
#ifndef PYLABHUB_TESTS_CHAOS_CAST_H_
#define PYLABHUB_TESTS_CHAOS_CAST_H_

#include <cstdint>
#include <string>
#include <vector>

#include "shm/channel_config.h"
#include "shm/data_block_consumer.h"
#include "tests/chaos/dice.h"
#include "tests/chaos/ledger.h"

namespace pylabhub::chaos {

struct ConsumerPlan {
  shm::ConsumerOptions options;  // with an order
  bool dawdles = false;          // holds slots for long at times
};

struct ChannelPlan {
  shm::ChannelConfig config;  // with defaults
  uint32_t burst_slots = 0;   // that a producer writes without a pause, at most
  uint64_t life_slots = 0;    // that it writes before it ends by itself, at most
  std::vector<ConsumerPlan> consumers;

  bool lossless() const { return shm::IsLossless(config.policy); }
};

// Every policy, with small and with large slots, in `directory`.
std::vector<ChannelPlan> AllChannels(const std::string& directory);

// What one process says about itself, and is told.
struct Post {
  Cell<uint32_t> generation;  // a producer's, since it has the channel; 0 before
  Cell<uint32_t> consumer;    // a consumer's record, 1 + its index; 0 before
  Cell<int64_t> progress_ns;  // when it last got on; a producer without the channel: when it last tried
  Cell<uint32_t> stop;        // 1: it shall come to its end
};

// A producer's life: tries to get the channel, writes, ends; the exit code, 0 if nothing went wrong.
int LiveAsProducer(const ChannelPlan& plan, Ledger& ledger, Post& post, Dice dice);
// A consumer's life, until it is told to stop and has read everything.
int LiveAsConsumer(const ChannelPlan& plan, const ConsumerPlan& own, Ledger& ledger, Post& post, Dice dice);

// Removes what nobody needs any more from all channels of `directory`, until it is told to stop.
int LiveAsJanitor(const std::string& directory, Post& post);

}  // namespace pylabhub::chaos

#endif  // PYLABHUB_TESTS_CHAOS_CAST_H_
