// A producer of a sealed scenario, in a process of its own: it hands over what it creates, renews the guest's part, and moves on
// without it.
#ifndef PYLABHUB_TESTS_CHAOS_SEALED_PRODUCER_H_
#define PYLABHUB_TESTS_CHAOS_SEALED_PRODUCER_H_

#include <cstdint>

#include "shm/channel_config.h"
#include "shm/data_block_producer.h"
#include "tests/chaos/sealed_books.h"

namespace pylabhub::chaos {

class SealedProducer {
 public:
  // Its sockets lead to who deals the descriptors out: one for segments, and one for renewed parts.
  SealedProducer(const shm::ChannelConfig& config, Books& books, int name, int socket, int part_socket)
      : config_(config), books_(books), desk_(books.desk[name]), socket_(socket), part_socket_(part_socket) {}

  // After so many predecessors, which it is sent. The process's exit code.
  int Produce(uint32_t predecessors);

 private:
  bool shares() const { return config_.policy == shm::Policy::kPipeline; }
  bool HandOver(const shm::HandedOver& segment);
  bool RenewGuest(shm::DataBlockProducer& producer) const;
  void MoveOn(shm::DataBlockProducer& producer);
  shm::SlotResult Put(shm::DataBlockProducer& producer);

  const shm::ChannelConfig& config_;
  Books& books_;
  Books::Desk& desk_;
  int socket_;
  int part_socket_;
  uint32_t current_ = 0;  // its segment
};

}  // namespace pylabhub::chaos

#endif  // PYLABHUB_TESTS_CHAOS_SEALED_PRODUCER_H_
