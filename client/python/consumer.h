// A consumer for Python: shows slots as numpy arrays.
//
// Thread safety: the GIL is held in every call, and given up while one waits. Belongs to one thread at a time; another
//                gets HandleBusy. Only Close and Wake may come from any.
// Ownership:     slots that Python has keep the consumer alive.
// Errors:        raised, as pylabhub.errors.
// Fork:          in a child every call raises ForkedHandle.
#ifndef PYLABHUB_CLIENT_PYTHON_CONSUMER_H_
#define PYLABHUB_CLIENT_PYTHON_CONSUMER_H_

#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "client/channel.h"
#include "client/python/broker_link.h"
#include "client/python/record_type.h"
#include "client/python/slot_arrays.h"
#include "client/python/waiting.h"
#include "shm/wait_set.h"

namespace pylabhub::python {

class Consumer : public std::enable_shared_from_this<Consumer> {
 public:
  Consumer(ChannelConsumer end, std::shared_ptr<BrokerLink> link, bool follow);
  ~Consumer();
  Consumer(const Consumer&) = delete;
  Consumer& operator=(const Consumer&) = delete;

  // Waits for the channel, attaches to it, and registers. With `follow`, it goes on with the channel's next producer by itself.
  static std::shared_ptr<Consumer> Connect(const std::string& channel, std::optional<double> timeout_s,
                                           const shm::ConsumerOptions& options,
                                           std::shared_ptr<BrokerLink> link, bool follow);

  // Says what the records, and the zone's, look like: once, before slots are shown.
  void SetDtypes(const pybind11::object& dtype, const pybind11::object& zone_dtype);

  // What is told of a slot, which stays true when it is gone.
  struct SlotInfo {
    uint64_t ticket = 0;
    uint64_t sequence = 0;
    int64_t timestamp_ns = 0;
    uint64_t missed = 0;
    bool redelivered = false;
    size_t payload_bytes = 0;
  };

  // Releases the slot that is held, if any, and waits for the next.
  SlotInfo Receive(std::optional<double> timeout_s);
  // The same at once; none if there is none now.
  std::optional<SlotInfo> Poll();
  // A copy of the next slot's records: an array of its own, or, unless `out` is None, the beginning of that array, which
  // must have room for the largest slot.
  pybind11::object Read(std::optional<double> timeout_s, const pybind11::object& out);

  const pybind11::object& Show(uint64_t ticket);
  // Compares the slot with its checksum; raises SlotCorrupt or NoChecksum.
  void Verify(uint64_t ticket);
  // Does nothing if the ticket's slot is done with. Raises SlotOverrun if it changed while it was held.
  void Release(uint64_t ticket);
  // The same for a ticket that nobody has any more: a slot whose array is still in use stays until the next is received.
  void Drop(uint64_t ticket);
  bool Holds(uint64_t ticket) const { return slot_.has_value() && ticket == ticket_; }

  // Waits until there is something for Poll to say, or for a Wake; whether there may be something.
  bool Wait(std::optional<double> timeout_s);
  void Wake();

  // The zone's newest version and its number; none before it is written.
  std::optional<std::pair<pybind11::object, uint64_t>> ReadZone();
  // Raises Timeout if there is none.
  void WaitForZone(uint64_t after_version, std::optional<double> timeout_s);

  void Follow(std::optional<double> timeout_s);

  // Releases what is held, and leaves the channel. A thread that waits in the consumer does so as soon as it notices.
  void Close();
  bool is_closed() const { return end_.block == nullptr; }

  const shm::ChannelConfig& config() const { return config_; }
  shm::DataBlockConsumer& block();
  size_t detached_slots() const { return arrays_.has_value() ? arrays_->detached_slots() : 0; }

 private:
  void CheckUsable();
  void ReleaseHeld();
  shm::SlotResult TryAcquire(absl::Duration timeout);
  shm::SlotResult Acquire(absl::Duration timeout);
  bool FollowInSlices(absl::Duration timeout);
  SlotInfo InfoOfHeld();
  void CloseIfAsked();

  std::shared_ptr<BrokerLink> link_;  // first: outlives the registration
  ChannelConsumer end_;
  shm::ChannelConfig config_;
  const bool follow_;
  std::optional<RecordType> type_;
  std::optional<RecordType> zone_type_;
  std::optional<ReadArrays> arrays_;
  std::unique_ptr<shm::WaitSet> wait_set_;  // after the consumer that is its member
  Occupancy occupancy_;
  std::optional<shm::ReadSlot> slot_;
  uint64_t ticket_ = 0;
};

}  // namespace pylabhub::python

#endif  // PYLABHUB_CLIENT_PYTHON_CONSUMER_H_
