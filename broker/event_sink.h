// Where the directory's changes go for those who watch.
#ifndef PYLABHUB_BROKER_EVENT_SINK_H_
#define PYLABHUB_BROKER_EVENT_SINK_H_

#include <functional>
#include <vector>

#include "broker/channel_types.h"

namespace pylabhub::broker {

// Gets every change once, in the order of revisions, never two calls at a time; must not block, since callers wait for
// it, and must not call the directory, which may be locked. With a store a change comes here when it is durable, a
// moment after a reader may have seen it. May be empty.
using EventSink = std::function<void(std::vector<Event>)>;

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_EVENT_SINK_H_
