#include <pybind11/stl.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "client/python/bindings.h"
#include "client/python/broker_link.h"
#include "client/python/errors.h"
#include "client/python/waiting.h"
#include "shm/channel_directory.h"

namespace pylabhub::python {
namespace {

namespace py = pybind11;

std::string NameOf(ChannelState state) {
  switch (state) {
    case ChannelState::kPending:
      return "pending";
    case ChannelState::kReady:
      return "ready";
    case ChannelState::kClosing:
      return "closing";
    default:
      return "unknown";
  }
}

py::dict Describe(const Channel& channel) {
  const ProcessInfo& process = channel.spec.process;
  py::dict described;
  described["name"] = channel.spec.name;
  described["state"] = NameOf(channel.state);
  described["schema_text"] = channel.spec.schema_text;
  described["schema_version"] = channel.spec.schema_version;
  described["segment_id"] = shm::SegmentId{channel.spec.segment_id}.ToHex();
  described["consumers"] = channel.consumer_count;
  described["epoch"] = channel.epoch;
  described["identity"] = channel.producer_identity;
  described["host"] = process.host;
  described["pid"] = process.pid;
  described["program"] = process.program;
  described["metadata"] = channel.spec.metadata;
  return described;
}

// A named channel of this host, in the same words.
py::dict Describe(const shm::NamedChannel& channel) {
  py::dict described;
  described["name"] = channel.channel;
  described["state"] = channel.producer_alive && !channel.producer_closed ? "ready" : "closing";
  described["schema_text"] = CanonicalText(channel.config.schema);
  described["schema_version"] = 0;
  described["segment_id"] = channel.segment_id.ToHex();
  described["consumers"] = channel.consumer_count;
  described["epoch"] = 0;
  described["identity"] = "";
  described["host"] = "";
  described["pid"] = channel.producer_pid;
  described["program"] = "";
  described["metadata"] = std::map<std::string, std::string>();
  return described;
}

std::vector<py::dict> ListLocally(const std::string& directory, const std::string& prefix) {
  std::vector<py::dict> described;
  for (const shm::NamedChannel& channel : OrRaise(shm::ListNamedChannels(directory))) {
    if (channel.status.ok() && channel.channel.rfind(prefix, 0) == 0) described.push_back(Describe(channel));
  }
  return described;
}

py::dict DiscoverLocally(const std::string& channel, std::optional<double> timeout_s,
                         const std::string& directory) {
  constexpr absl::Duration kLook = absl::Milliseconds(5);
  shm::NamedChannel found;
  AttemptInSlices(TimeoutFrom(timeout_s), [&](absl::Duration slice) {
    found = shm::FindNamedChannel(channel, directory);
    if (found.status.ok() && found.producer_alive && !found.producer_closed) return true;
    if (!found.status.ok() && !absl::IsNotFound(found.status)) return true;
    absl::SleepFor(std::min(slice, kLook));
    return false;
  });
  OrRaise(found.status);
  if (!found.producer_alive || found.producer_closed) {
    OrRaise(absl::NotFoundError("channel '" + channel + "' has no producer any more; start one"));
  }
  return Describe(found);
}

py::dict DiscoverAtBroker(const BrokerLink& link, const std::string& channel, std::optional<double> timeout_s,
                          bool strong) {
  return Describe(
      link.Discover(channel, TimeoutFrom(timeout_s), strong ? Consistency::kStrong : Consistency::kLocal));
}

std::vector<py::dict> ListAtBroker(const BrokerLink& link, const std::string& prefix,
                                   std::optional<double> timeout_s) {
  Messenger& messenger = link.messenger();
  absl::StatusOr<std::vector<Channel>> channels = absl::UnknownError("");
  {
    const py::gil_scoped_release released;
    channels = messenger.ListChannels(prefix, TimeoutFrom(timeout_s));
  }
  std::vector<py::dict> described;
  for (const Channel& channel : OrRaise(std::move(channels))) described.push_back(Describe(channel));
  return described;
}

// Empty if the broker has none.
std::string SchemaTextAtBroker(const BrokerLink& link, const std::string& name, uint32_t version,
                               std::optional<double> timeout_s) {
  Messenger& messenger = link.messenger();
  absl::StatusOr<SchemaVersion> schema = absl::UnknownError("");
  {
    const py::gil_scoped_release released;
    schema = messenger.GetSchema(name, version, TimeoutFrom(timeout_s));
  }
  if (absl::IsNotFound(schema.status())) return "";
  return OrRaise(std::move(schema)).schema_text;
}

std::shared_ptr<BrokerLink> ConnectTo(const std::string& address, const std::string& certificates,
                                      const std::string& server_name, std::optional<double> timeout_s,
                                      const py::object& on_event) {
  ConnectOptions options;
  options.address = address;
  options.certificates_folder = certificates;
  options.server_name = server_name;
  options.connect_timeout = std::min(TimeoutFrom(timeout_s), absl::Hours(1));
  return BrokerLink::Connect(std::move(options), on_event);
}

}  // namespace

void BindSession(py::module_& module) {
  module.def("list_channels", &ListLocally, py::arg("directory"), py::arg("prefix"),
             "The named channels of this host.");
  module.def("discover", &DiscoverLocally, py::arg("channel"), py::arg("timeout"), py::arg("directory"),
             "Waits for a named channel of this host.");
  py::class_<BrokerLink, std::shared_ptr<BrokerLink>>(module, "BrokerLink", "A connection to one broker.")
      .def(py::init(&ConnectTo), py::arg("address"), py::arg("certificates"), py::arg("server_name"),
           py::arg("timeout"), py::arg("on_event"))
      .def("discover", &DiscoverAtBroker, py::arg("channel"), py::arg("timeout"), py::arg("strong"))
      .def("schema_text", &SchemaTextAtBroker, py::arg("name"), py::arg("version"), py::arg("timeout"))
      .def("list_channels", &ListAtBroker, py::arg("prefix"), py::arg("timeout"))
      .def_property_readonly(
          "identity", [](const BrokerLink& link) { return link.messenger().broker_info().caller_identity; })
      .def_property_readonly("broker_version",
                             [](const BrokerLink& link) { return link.messenger().broker_info().version; })
      .def_property_readonly("session_id",
                             [](const BrokerLink& link) { return link.messenger().session_id(); });
}

}  // namespace pylabhub::python
