#include "client/python/broker_link.h"

#include <unistd.h>

#include <utility>

#include "client/python/errors.h"
#include "client/python/waiting.h"

namespace pylabhub::python {
namespace {

namespace py = pybind11;

const char* NameOf(CloseReason reason) {
  switch (reason) {
    case CloseReason::kDeregistered:
      return "deregistered";
    case CloseReason::kLeaseExpired:
      return "lease expired";
    case CloseReason::kReplaced:
      return "replaced";
    case CloseReason::kClosedByAdmin:
      return "closed by an administrator";
    case CloseReason::kRevoked:
      return "revoked";
    default:
      return "";
  }
}

// A Python callable that threads without the GIL may hold and let go of.
MessengerEventHook HookFor(const py::object& on_event) {
  if (on_event.is_none()) return nullptr;
  const std::shared_ptr<py::object> callable(new py::object(on_event), [](py::object* object) {
    const py::gil_scoped_acquire acquired;
    delete object;
  });
  return [callable](const MessengerEvent& event) {
    const py::gil_scoped_acquire acquired;
    try {
      const absl::string_view kind = NameOf(event.kind);
      (*callable)(std::string(kind.data(), kind.size()), event.channel, event.status.ToString(),
                  NameOf(event.close_reason));
    } catch (py::error_already_set& error) {
      error.discard_as_unraisable("pylabhub's on_event");
    }
  };
}

}  // namespace

std::shared_ptr<BrokerLink> BrokerLink::Connect(ConnectOptions options, const py::object& on_event) {
  options.messenger.on_event = HookFor(on_event);
  absl::StatusOr<std::unique_ptr<Messenger>> messenger = absl::UnknownError("");
  {
    const py::gil_scoped_release released;
    messenger = Messenger::Connect(options);
  }
  return std::make_shared<BrokerLink>(OrRaise(std::move(messenger)));
}

BrokerLink::BrokerLink(std::unique_ptr<Messenger> messenger)
    : messenger_(std::move(messenger)), pid_(getpid()) {}

BrokerLink::~BrokerLink() {
  if (!is_ours()) {
    // Its threads are the parent's: there is nobody to be told, and nobody to wait for.
    (void)messenger_.release();
    return;
  }
  // It waits for its threads, which may be about to call on_event.
  PyThreadState* const state = PyEval_SaveThread();
  messenger_.reset();
  PyEval_RestoreThread(state);
}

bool BrokerLink::is_ours() const { return pid_ == getpid(); }

Messenger& BrokerLink::messenger() const {
  if (!is_ours()) Raise("ForkedHandle", "this session belongs to the parent of this process; connect anew");
  return *messenger_;
}

Channel BrokerLink::Discover(const std::string& channel, absl::Duration timeout,
                             Consistency consistency) const {
  Messenger& messenger = this->messenger();
  absl::StatusOr<Channel> found = absl::UnknownError("");
  AttemptInSlices(timeout, [&](absl::Duration slice) {
    found = messenger.DiscoverProducer(channel, slice, consistency);
    return !absl::IsNotFound(found.status()) && !absl::IsUnavailable(found.status());
  });
  return OrRaise(std::move(found));
}

}  // namespace pylabhub::python
