#include <pybind11/stl.h>

#include <map>
#include <memory>
#include <string>
#include <variant>

#include "client/python/bindings.h"
#include "client/python/consumer.h"
#include "client/python/errors.h"

namespace pylabhub::python {
namespace {

namespace py = pybind11;

// A slot that is being read. Released when the last reference to it is gone, if its array is not in use.
class ReadSlot {
 public:
  ReadSlot(std::shared_ptr<Consumer> consumer, const Consumer::SlotInfo& info)
      : consumer_(std::move(consumer)), info_(info) {}

  ~ReadSlot() {
    if (consumer_->is_closed()) return;
    try {
      consumer_->Drop(info_.ticket);
    } catch (py::error_already_set& error) {
      // The last reference is gone, so nobody is there to be told.
      error.discard_as_unraisable("a slot that was dropped");
    }
  }
  ReadSlot(const ReadSlot&) = delete;
  ReadSlot& operator=(const ReadSlot&) = delete;

  const Consumer::SlotInfo& info() const { return info_; }
  py::object Data() { return consumer_->Show(info_.ticket); }
  void Verify() { consumer_->Verify(info_.ticket); }
  void Release() { consumer_->Release(info_.ticket); }
  bool IsReleased() const { return !consumer_->Holds(info_.ticket); }

 private:
  const std::shared_ptr<Consumer> consumer_;
  const Consumer::SlotInfo info_;
};

std::unique_ptr<ReadSlot> Receive(const std::shared_ptr<Consumer>& consumer,
                                  std::optional<double> timeout_s) {
  return std::make_unique<ReadSlot>(consumer, consumer->Receive(timeout_s));
}

std::unique_ptr<ReadSlot> Poll(const std::shared_ptr<Consumer>& consumer) {
  const std::optional<Consumer::SlotInfo> info = consumer->Poll();
  return info.has_value() ? std::make_unique<ReadSlot>(consumer, *info) : nullptr;
}

std::optional<shm::ReadOrder> OrderFrom(const std::string& name) {
  if (name.empty()) return std::nullopt;
  if (name == "next") return shm::ReadOrder::kNext;
  if (name == "latest") return shm::ReadOrder::kLatest;
  Raise("InvalidArgument", "order '" + name + "': use 'next' or 'latest'");
}

shm::JoinPoint StartFrom(const std::variant<uint64_t, std::string>& start) {
  if (const auto* sequence = std::get_if<uint64_t>(&start)) return shm::JoinPoint::Sequence(*sequence);
  const auto& name = std::get<std::string>(start);
  if (name == "newest") return shm::JoinPoint::Newest();
  if (name == "oldest") return shm::JoinPoint::Oldest();
  Raise("InvalidArgument", "start '" + name + "': use 'newest', 'oldest' or a sequence number");
}

shm::WhenSlow WhenSlowFrom(const std::string& name) {
  if (name == "block") return shm::WhenSlow::kBlock;
  if (name == "drop_backlog") return shm::WhenSlow::kDropBacklog;
  if (name == "cut_off") return shm::WhenSlow::kCutOff;
  Raise("InvalidArgument", "when_slow '" + name + "': use 'block', 'drop_backlog' or 'cut_off'");
}

std::shared_ptr<Consumer> Connect(std::shared_ptr<BrokerLink> link, const std::string& channel,
                                  std::optional<double> timeout_s, bool follow, const std::string& order,
                                  std::optional<std::string> group,
                                  const std::variant<uint64_t, std::string>& start,
                                  const std::string& when_slow, double patience_s,
                                  std::optional<std::string> expected_schema_text,
                                  std::optional<std::string> expected_zone_schema_text,
                                  std::optional<double> spin_s, const std::string& directory) {
  shm::ConsumerOptions options;
  options.order = OrderFrom(order);
  options.group = std::move(group);
  options.start = StartFrom(start);
  options.when_slow = WhenSlowFrom(when_slow);
  options.patience = absl::Seconds(patience_s);
  if (expected_schema_text.has_value()) {
    options.expected_schema = OrRaise(shm::ParseCanonicalText(*expected_schema_text));
  }
  if (expected_zone_schema_text.has_value()) {
    options.expected_zone_schema = OrRaise(shm::ParseCanonicalText(*expected_zone_schema_text));
  }
  options.wait.spin = TimeoutFrom(spin_s);
  options.directory = directory;
  return Consumer::Connect(channel, timeout_s, options, std::move(link), follow);
}

std::string PolicyName(const Consumer& consumer) {
  const absl::string_view name = NameOf(consumer.config().policy);
  return {name.data(), name.size()};
}

std::map<std::string, uint64_t> StatsOf(Consumer& consumer) {
  const shm::ConsumerStats stats = consumer.block().Stats();
  return {{"received_slots", stats.received_slots},
          {"received_bytes", stats.received_bytes},
          {"missed_slots", stats.missed_slots},
          {"waits", stats.waits},
          {"sleeps", stats.sleeps},
          {"corrupt_slots", stats.corrupt_slots},
          {"redelivered_slots", stats.redelivered_slots},
          {"detached_slots", consumer.detached_slots()}};
}

void BindSlot(py::module_& module) {
  py::class_<ReadSlot>(module, "ReadSlot",
                       "A slot that is being read. Given back by release(), at the end of a `with` block, or "
                       "when the next is received.")
      .def_property_readonly("data", &ReadSlot::Data,
                             "The records of the slot, read-only. What outlives the slot keeps its bytes.")
      .def_property_readonly(
          "sequence", [](const ReadSlot& slot) { return slot.info().sequence; },
          "The slot's number in its segment, from 0.")
      .def_property_readonly(
          "timestamp_ns", [](const ReadSlot& slot) { return slot.info().timestamp_ns; },
          "When it was committed, since the Unix epoch.")
      .def_property_readonly(
          "missed", [](const ReadSlot& slot) { return slot.info().missed; },
          "Slots between the last one that was received and this one.")
      .def_property_readonly(
          "redelivered", [](const ReadSlot& slot) { return slot.info().redelivered; },
          "Whether another member of the group had it and died.")
      .def_property_readonly(
          "payload_bytes", [](const ReadSlot& slot) { return slot.info().payload_bytes; },
          "How many bytes were committed.")
      .def_property_readonly("released", &ReadSlot::IsReleased, "Whether it was given back.")
      .def("verify", &ReadSlot::Verify,
           "Compares the slot with its checksum; raises SlotCorrupt or NoChecksum.")
      .def("release", &ReadSlot::Release,
           "Gives the slot back; raises SlotOverrun if it changed while it was held.")
      .def(
          "__enter__", [](ReadSlot& slot) -> ReadSlot& { return slot; }, py::return_value_policy::reference)
      .def("__exit__",
           [](ReadSlot& slot, const py::object&, const py::object&, const py::object&) { slot.Release(); });
}

}  // namespace

void BindConsumer(py::module_& module) {
  BindSlot(module);
  py::class_<Consumer, std::shared_ptr<Consumer>>(module, "Consumer", "The reading end of a channel.")
      .def(py::init(&Connect), py::arg("link"), py::arg("channel"), py::arg("timeout"), py::arg("follow"),
           py::arg("order"), py::arg("group"), py::arg("start"), py::arg("when_slow"), py::arg("patience"),
           py::arg("expected_schema_text"), py::arg("expected_zone_schema_text"), py::arg("spin"),
           py::arg("directory"))
      .def("_set_dtypes", &Consumer::SetDtypes, py::arg("dtype"), py::arg("zone_dtype"))
      .def("receive", &Receive, py::arg("timeout") = py::none(),
           "Releases the slot before, and waits for the next. Raises Timeout, ProducerClosed, ProducerDead, "
           "SlotCorrupt, CutOff.")
      .def(
          "read", &Consumer::Read, py::arg("timeout") = py::none(), py::arg("out") = py::none(),
          "The next slot's records, copied into an array of their own, or into `out`: an array of this dtype "
          "with room for slot_bytes, of which what was written is returned. Raises as `receive` does.")
      .def("poll", &Poll, "As `receive`, at once; None if there is nothing now.")
      .def("_wait", &Consumer::Wait, py::arg("timeout") = py::none())
      .def("_wake", &Consumer::Wake)
      .def("follow", &Consumer::Follow, py::arg("timeout") = py::none(),
           "After ProducerClosed or ProducerDead: goes on with the channel's next producer.")
      .def("read_zone", &Consumer::ReadZone,
           "(array, version) of the zone's newest version; None before it is written.")
      .def("wait_for_zone", &Consumer::WaitForZone, py::arg("after_version") = 0,
           py::arg("timeout") = py::none(), "Waits for a later version of the zone; raises Timeout.")
      .def("close", &Consumer::Close,
           "Releases what is held, and leaves the channel. May be called from any thread.")
      .def_property_readonly("closed", &Consumer::is_closed, "Whether it was closed.")
      .def_property_readonly(
          "channel", [](const Consumer& consumer) { return consumer.config().channel; },
          "The channel's name.")
      .def_property_readonly(
          "schema_text", [](const Consumer& consumer) { return CanonicalText(consumer.config().schema); },
          "The canonical text of the schema.")
      .def_property_readonly(
          "zone_schema_text",
          [](const Consumer& consumer) { return CanonicalText(consumer.config().zone_schema); },
          "The canonical text of the zone's schema.")
      .def_property_readonly("policy", &PolicyName, "What becomes of slots that were not read.")
      .def_property_readonly(
          "slot_bytes", [](const Consumer& consumer) { return consumer.config().slot_bytes; },
          "The largest payload.")
      .def_property_readonly(
          "capacity", [](const Consumer& consumer) { return consumer.config().capacity_slots; },
          "Committed slots that are kept.")
      .def_property_readonly(
          "group", [](Consumer& consumer) { return consumer.block().group(); },
          "The group that it is in; empty if in none.")
      .def_property_readonly(
          "segment_id", [](Consumer& consumer) { return consumer.block().segment_id().ToHex(); },
          "The segment's random name, in hexadecimal.")
      .def_property_readonly(
          "zone_version", [](Consumer& consumer) { return consumer.block().zone_version(); },
          "The version that read_zone would read; 0: none yet.")
      .def_property_readonly(
          "producer_is_alive", [](Consumer& consumer) { return consumer.block().ProducerIsAlive(); },
          "Whether the producer lives and has not closed the channel.")
      .def_property_readonly("stats", &StatsOf, "What was done so far, by name.");
}

}  // namespace pylabhub::python
