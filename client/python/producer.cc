#include "client/python/producer.h"

#include <utility>

#include "client/python/copy_bytes.h"
#include "client/python/errors.h"

namespace pylabhub::python {
namespace {

namespace py = pybind11;

}  // namespace

std::shared_ptr<Producer> Producer::Create(const shm::ChannelConfig& config, const shm::WaitOptions& wait,
                                           std::shared_ptr<BrokerLink> link, const py::object& dtype,
                                           const py::object& zone_dtype) {
  Messenger* const messenger = link == nullptr ? nullptr : &link->messenger();
  absl::StatusOr<ChannelProducer> created = absl::UnknownError("");
  {
    const py::gil_scoped_release released;
    created = CreateChannel(config, messenger, wait);
  }
  return std::make_shared<Producer>(OrRaise(std::move(created)), std::move(link), dtype, zone_dtype);
}

Producer::Producer(ChannelProducer end, std::shared_ptr<BrokerLink> link, const py::object& dtype,
                   const py::object& zone_dtype)
    : link_(std::move(link)),
      end_(std::move(end)),
      config_(end_.block->config()),
      type_(dtype),
      zone_type_(zone_dtype),
      arrays_(type_) {}

Producer::~Producer() { Close(); }

void Producer::CheckUsable() {
  occupancy_.Check(config_.channel);
  if (is_closed()) Raise("HandleClosed", "channel '" + config_.channel + "': this producer was closed");
}

shm::DataBlockProducer& Producer::block() {
  CheckUsable();
  return *end_.block;
}

uint64_t Producer::Acquire(std::optional<double> timeout_s) {
  CheckUsable();
  if (slot_.has_value()) {
    Raise("SlotHeld", "channel '" + config_.channel + "': a slot is being written; commit or abort it first");
  }
  WaitInSlices(occupancy_, TimeoutFrom(timeout_s), [&](absl::Duration timeout) {
    slot_.emplace(end_.block->Acquire(timeout));
    return slot_->result() != shm::SlotResult::kTimeout;
  });
  if (occupancy_.is_closing()) {
    slot_.reset();
    Close();
    CheckUsable();
  }
  if (!*slot_) {
    const shm::SlotResult result = slot_->result();
    slot_.reset();
    Raise(result, config_.channel);
  }
  return ++ticket_;
}

shm::WriteSlot& Producer::SlotOf(uint64_t ticket) {
  CheckUsable();
  if (!Holds(ticket)) {
    Raise("SlotReleased", "channel '" + config_.channel + "': this slot was committed or aborted already");
  }
  return *slot_;
}

py::object Producer::Show(uint64_t ticket, std::optional<size_t> records) {
  shm::WriteSlot& slot = SlotOf(ticket);
  const size_t count = records.value_or(records_per_slot());
  if (count > records_per_slot()) {
    Raise("PayloadTooLarge", "channel '" + config_.channel + "': a slot has room for " +
                                 std::to_string(records_per_slot()) + " records, not " +
                                 std::to_string(count));
  }
  return arrays_.Show(end_.block->segment_id(), slot.payload(), count * type_.record_bytes());
}

uint64_t Producer::Commit(uint64_t ticket, size_t records, bool with_checksum) {
  shm::WriteSlot& slot = SlotOf(ticket);
  const size_t bytes = records * type_.record_bytes();
  arrays_.End(bytes);
  if (with_checksum) slot.AddChecksum();
  const uint64_t sequence = end_.block->next_sequence();
  const shm::SlotResult result = slot.Commit(bytes);
  slot_.reset();
  if (result != shm::SlotResult::kOk) Raise(result, config_.channel);
  return sequence;
}

void Producer::Abort(uint64_t ticket) {
  if (!Holds(ticket)) return;
  arrays_.End(0);
  slot_.reset();
}

uint64_t Producer::Write(const py::object& data, std::optional<double> timeout_s, bool with_checksum) {
  CheckUsable();
  py::object keep;
  const std::span<const std::byte> bytes = type_.BytesOf(data, keep);
  if (bytes.size() > config_.slot_bytes) {
    Raise("PayloadTooLarge", "channel '" + config_.channel + "': " + std::to_string(bytes.size()) +
                                 " bytes are more than a slot of " + std::to_string(config_.slot_bytes) +
                                 " holds");
  }
  Acquire(timeout_s);
  CopyBytes(occupancy_, slot_->payload(), bytes);
  if (with_checksum) slot_->AddChecksum();
  const uint64_t sequence = end_.block->next_sequence();
  const shm::SlotResult result = slot_->Commit(bytes.size());
  slot_.reset();
  if (result != shm::SlotResult::kOk) Raise(result, config_.channel);
  return sequence;
}

void Producer::WriteZone(const py::object& data) {
  CheckUsable();
  py::object keep;
  OrRaise(end_.block->WriteZone(zone_type_.BytesOf(data, keep)));
}

void Producer::Close() {
  occupancy_.Close();
  if (occupancy_.is_waiting() || is_closed()) return;
  if (slot_.has_value()) Abort(ticket_);
  if (link_ != nullptr && !link_->is_ours()) {
    // The broker knows the parent of this process, which still has the channel.
    (void)new Registration(
        std::move(end_.registration));  // NOLINT(bugprone-unused-raii): kept, so that nobody is told
  }
  end_.registration.Release();
  end_.block.reset();
  link_.reset();
}

}  // namespace pylabhub::python
