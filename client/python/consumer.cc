#include "client/python/consumer.h"

#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "client/python/copy_bytes.h"
#include "client/python/errors.h"

namespace pylabhub::python {
namespace {

namespace py = pybind11;

bool MayCome(const absl::Status& status) { return absl::IsNotFound(status) || absl::IsUnavailable(status); }

absl::StatusOr<ChannelConsumer> ConnectLocally(const std::string& channel, absl::Duration timeout,
                                               const shm::ConsumerOptions& options) {
  absl::StatusOr<ChannelConsumer> connected = absl::UnknownError("");
  AttemptInSlices(timeout, [&](absl::Duration slice) {
    connected = ConnectChannel(channel, slice, nullptr, options);
    return !absl::IsNotFound(connected.status());
  });
  return connected;
}

// Waiting for a channel can be interrupted; attaching to one that is there cannot, and is quick.
absl::StatusOr<ChannelConsumer> ConnectThroughBroker(const std::string& channel, absl::Duration timeout,
                                                     const shm::ConsumerOptions& options,
                                                     Messenger& messenger) {
  const Deadline deadline(timeout);
  AttemptInSlices(timeout, [&](absl::Duration slice) {
    return !MayCome(messenger.DiscoverProducer(channel, slice).status());
  });
  const py::gil_scoped_release released;
  return ConnectChannel(channel, std::min(deadline.left(), absl::Seconds(5)), &messenger, options);
}

}  // namespace

std::shared_ptr<Consumer> Consumer::Connect(const std::string& channel, std::optional<double> timeout_s,
                                            const shm::ConsumerOptions& options,
                                            std::shared_ptr<BrokerLink> link, bool follow) {
  const absl::Duration timeout = TimeoutFrom(timeout_s);
  ChannelConsumer end =
      OrRaise(link == nullptr ? ConnectLocally(channel, timeout, options)
                              : ConnectThroughBroker(channel, timeout, options, link->messenger()));
  return std::make_shared<Consumer>(std::move(end), std::move(link), follow);
}

Consumer::Consumer(ChannelConsumer end, std::shared_ptr<BrokerLink> link, bool follow)
    : link_(std::move(link)), end_(std::move(end)), config_(end_.block->config()), follow_(follow) {}

Consumer::~Consumer() { Close(); }

void Consumer::SetDtypes(const py::object& dtype, const py::object& zone_dtype) {
  type_.emplace(dtype);
  zone_type_.emplace(zone_dtype);
  arrays_.emplace(*type_);
}

void Consumer::CheckUsable() {
  occupancy_.Check(config_.channel);
  if (is_closed()) Raise("HandleClosed", "channel '" + config_.channel + "': this consumer was closed");
}

shm::DataBlockConsumer& Consumer::block() {
  CheckUsable();
  return *end_.block;
}

void Consumer::CloseIfAsked() {
  if (!occupancy_.is_closing()) return;
  Close();
  CheckUsable();
}

void Consumer::ReleaseHeld() {
  if (!slot_.has_value()) return;
  if (arrays_.has_value()) arrays_->End();
  const shm::SlotResult result = slot_->Release();
  slot_.reset();
  if (result != shm::SlotResult::kOk) Raise(result, config_.channel);
}

shm::SlotResult Consumer::TryAcquire(absl::Duration timeout) {
  slot_.emplace(end_.block->Acquire(timeout));
  const shm::SlotResult result = *slot_ ? shm::SlotResult::kOk : slot_->result();
  if (result != shm::SlotResult::kOk) slot_.reset();
  return result;
}

shm::SlotResult Consumer::Acquire(absl::Duration timeout) {
  const Deadline deadline(timeout);
  shm::SlotResult result = shm::SlotResult::kTimeout;
  while (true) {
    WaitInSlices(occupancy_, deadline.left(), [&](absl::Duration slice) {
      result = TryAcquire(slice);
      return result != shm::SlotResult::kTimeout;
    });
    CloseIfAsked();
    const bool is_over =
        result == shm::SlotResult::kProducerClosed || result == shm::SlotResult::kProducerDead;
    if (!is_over || !follow_) return result;
    if (!FollowInSlices(deadline.left())) return shm::SlotResult::kTimeout;
  }
}

Consumer::SlotInfo Consumer::InfoOfHeld() {
  const shm::SlotView& view = slot_->view();
  return {.ticket = ++ticket_,
          .sequence = view.sequence,
          .timestamp_ns = view.timestamp_ns,
          .missed = view.missed_slots,
          .redelivered = view.redelivered,
          .payload_bytes = view.payload.size()};
}

Consumer::SlotInfo Consumer::Receive(std::optional<double> timeout_s) {
  CheckUsable();
  ReleaseHeld();
  const shm::SlotResult result = Acquire(TimeoutFrom(timeout_s));
  if (result != shm::SlotResult::kOk) Raise(result, config_.channel);
  return InfoOfHeld();
}

std::optional<Consumer::SlotInfo> Consumer::Poll() {
  CheckUsable();
  ReleaseHeld();
  const shm::SlotResult result = Acquire(absl::ZeroDuration());
  if (result == shm::SlotResult::kTimeout) return std::nullopt;
  if (result != shm::SlotResult::kOk) Raise(result, config_.channel);
  return InfoOfHeld();
}

py::object Consumer::Read(std::optional<double> timeout_s, const py::object& out) {
  if (out.is_none()) {
    Receive(timeout_s);
    py::object copy = type_->Copy(slot_->payload());
    ReleaseHeld();
    return copy;
  }
  CheckUsable();
  const std::span<std::byte> room = type_->RoomIn(out);
  if (room.size() < config_.slot_bytes) {
    Raise("InvalidArgument", "channel '" + config_.channel + "': `out` has " + std::to_string(room.size()) +
                                 " bytes, and a slot may have " + std::to_string(config_.slot_bytes));
  }
  Receive(timeout_s);
  const std::span<const std::byte> payload = slot_->payload();
  const size_t records = type_->RecordsIn(payload.size());
  CopyBytes(occupancy_, room, payload.first(records * type_->record_bytes()));
  ReleaseHeld();
  return type_->FirstOf(out, records);
}

const py::object& Consumer::Show(uint64_t ticket) {
  CheckUsable();
  if (!Holds(ticket)) {
    Raise("SlotReleased",
          "channel '" + config_.channel + "': this slot was released; take what you need from it before");
  }
  return arrays_->Show(end_.block->segment_id(), slot_->payload(), config_.slot_bytes);
}

void Consumer::Verify(uint64_t ticket) {
  Show(ticket);
  const shm::SlotResult result = slot_->Verify();
  if (result != shm::SlotResult::kOk) Raise(result, config_.channel);
}

void Consumer::Release(uint64_t ticket) {
  if (Holds(ticket)) ReleaseHeld();
}

void Consumer::Drop(uint64_t ticket) {
  if (Holds(ticket) && !(arrays_.has_value() && arrays_->IsInUse())) ReleaseHeld();
}

bool Consumer::Wait(std::optional<double> timeout_s) {
  CheckUsable();
  ReleaseHeld();
  if (wait_set_ == nullptr) {
    wait_set_ = std::make_unique<shm::WaitSet>();
    OrRaise(wait_set_->Add(*end_.block));
  }
  bool is_ready = false;
  WaitInSlices(occupancy_, TimeoutFrom(timeout_s), [&](absl::Duration slice) {
    const shm::WaitOutcome outcome = wait_set_->Wait(slice).outcome;
    is_ready = outcome == shm::WaitOutcome::kReady || outcome == shm::WaitOutcome::kForked;
    return outcome != shm::WaitOutcome::kTimeout;
  });
  CloseIfAsked();
  return is_ready;
}

void Consumer::Wake() {
  if (wait_set_ != nullptr) wait_set_->Wake();
}

std::optional<std::pair<py::object, uint64_t>> Consumer::ReadZone() {
  CheckUsable();
  std::vector<std::byte> bytes(config_.zone_bytes);
  const uint64_t version = OrRaise(end_.block->ReadZone(bytes));
  if (version == 0) return std::nullopt;
  return std::pair(zone_type_->Copy(bytes), version);
}

void Consumer::WaitForZone(uint64_t after_version, std::optional<double> timeout_s) {
  CheckUsable();
  shm::SlotResult result = shm::SlotResult::kTimeout;
  WaitInSlices(occupancy_, TimeoutFrom(timeout_s), [&](absl::Duration slice) {
    result = end_.block->WaitForZone(after_version, slice);
    return result != shm::SlotResult::kTimeout;
  });
  CloseIfAsked();
  if (result != shm::SlotResult::kOk) Raise(result, config_.channel);
}

bool Consumer::FollowInSlices(absl::Duration timeout) {
  absl::Status status;
  // Another producer's handed-over segment is attached to anew: what waits on the former end ends before it.
  if (end_.is_handed_over()) wait_set_.reset();
  WaitInSlices(occupancy_, timeout, [&](absl::Duration slice) {
    status = pylabhub::Follow(end_, slice);
    return !absl::IsDeadlineExceeded(status);
  });
  CloseIfAsked();
  if (absl::IsDeadlineExceeded(status)) return false;
  OrRaise(status);
  config_ = end_.block->config();
  return true;
}

void Consumer::Follow(std::optional<double> timeout_s) {
  CheckUsable();
  ReleaseHeld();
  if (!FollowInSlices(TimeoutFrom(timeout_s))) Raise(shm::SlotResult::kTimeout, config_.channel);
}

void Consumer::Close() {
  occupancy_.Close();
  if (occupancy_.is_waiting()) {
    Wake();
    return;
  }
  if (is_closed()) return;
  if (slot_.has_value()) {
    if (arrays_.has_value()) arrays_->End();
    slot_.reset();
  }
  wait_set_.reset();
  if (link_ != nullptr && !link_->is_ours()) {
    // The broker knows the parent of this process, which still has its place.
    (void)new Registration(
        std::move(end_.registration));  // NOLINT(bugprone-unused-raii): kept, so that nobody is told
  }
  end_.registration.Release();
  end_.block.reset();
  link_.reset();
}

}  // namespace pylabhub::python
