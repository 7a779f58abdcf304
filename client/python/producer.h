// A producer for Python: writes slots through numpy.
//
// Thread safety: the GIL is held in every call, and given up while one waits. Belongs to one thread at a time; another
//                gets HandleBusy. Only Close may come from any.
// Ownership:     a slot that is being written, and the arrays that show it, keep the producer alive.
// Errors:        raised, as pylabhub.errors.
// Fork:          in a child every call raises ForkedHandle.
#ifndef PYLABHUB_CLIENT_PYTHON_PRODUCER_H_
#define PYLABHUB_CLIENT_PYTHON_PRODUCER_H_

#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "client/channel.h"
#include "client/python/broker_link.h"
#include "client/python/record_type.h"
#include "client/python/slot_arrays.h"
#include "client/python/waiting.h"

namespace pylabhub::python {

class Producer : public std::enable_shared_from_this<Producer> {
 public:
  // The dtypes are those of the channel's records and of its zone's; uint8 for plain bytes.
  Producer(ChannelProducer end, std::shared_ptr<BrokerLink> link, const pybind11::object& dtype,
           const pybind11::object& zone_dtype);
  ~Producer();
  Producer(const Producer&) = delete;
  Producer& operator=(const Producer&) = delete;

  // Creates and registers the channel.
  static std::shared_ptr<Producer> Create(const shm::ChannelConfig& config, const shm::WaitOptions& wait,
                                          std::shared_ptr<BrokerLink> link, const pybind11::object& dtype,
                                          const pybind11::object& zone_dtype);

  // Publishes a copy of `data` as a slot; its sequence number.
  uint64_t Write(const pybind11::object& data, std::optional<double> timeout_s, bool with_checksum);

  // Acquires a slot, which the caller commits or aborts by its ticket.
  uint64_t Acquire(std::optional<double> timeout_s);
  // The array of the slot's first `records` records; all that it has room for, if none are given.
  pybind11::object Show(uint64_t ticket, std::optional<size_t> records);
  uint64_t Commit(uint64_t ticket, size_t records, bool with_checksum);
  // Does nothing if the ticket's slot is done with.
  void Abort(uint64_t ticket);
  bool Holds(uint64_t ticket) const { return slot_.has_value() && ticket == ticket_; }

  void WriteZone(const pybind11::object& data);

  // Closes the channel; a slot that is held is aborted. A thread that waits in the producer does so as soon as it notices.
  void Close();
  bool is_closed() const { return end_.block == nullptr; }

  size_t records_per_slot() const { return type_.RecordsIn(config_.slot_bytes); }
  const shm::ChannelConfig& config() const { return config_; }
  shm::DataBlockProducer& block();
  size_t detached_slots() const { return arrays_.detached_slots(); }

 private:
  void CheckUsable();
  shm::WriteSlot& SlotOf(uint64_t ticket);

  std::shared_ptr<BrokerLink> link_;  // first: outlives the registration
  ChannelProducer end_;
  const shm::ChannelConfig config_;
  RecordType type_;
  RecordType zone_type_;
  WriteArrays arrays_;
  Occupancy occupancy_;
  std::optional<shm::WriteSlot> slot_;
  uint64_t ticket_ = 0;
};

}  // namespace pylabhub::python

#endif  // PYLABHUB_CLIENT_PYTHON_PRODUCER_H_
