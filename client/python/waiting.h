// How a call waits for its channel: without the GIL, in slices, so that Ctrl-C and close() get through.
//
// Thread safety: the GIL is held in every call, and given up while waiting.
#ifndef PYLABHUB_CLIENT_PYTHON_WAITING_H_
#define PYLABHUB_CLIENT_PYTHON_WAITING_H_

#include <pybind11/pybind11.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "client/python/errors.h"

namespace pylabhub::python {

// The longest that a signal or a close() waits to be noticed.
inline constexpr absl::Duration kSlice = absl::Milliseconds(50);

// Seconds, as Python has them; None is for ever.
inline absl::Duration TimeoutFrom(std::optional<double> seconds) {
  return seconds.has_value() ? absl::Seconds(std::max(*seconds, 0.0)) : absl::InfiniteDuration();
}

class Deadline {
 public:
  explicit Deadline(absl::Duration timeout) : timeout_(timeout) {}
  absl::Duration left() const {
    return std::max(timeout_ - absl::FromChrono(std::chrono::steady_clock::now() - start_),
                    absl::ZeroDuration());
  }

 private:
  const absl::Duration timeout_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// Who uses a handle: it belongs to one thread at a time, and no one else may touch it while that one waits without the GIL.
class Occupancy {
 public:
  // Raises HandleBusy while another thread waits in the handle, and HandleClosed once it is closed.
  void Check(const std::string& channel) const {
    if (waiting_) {
      Raise("HandleBusy",
            "channel '" + channel + "': another thread waits in this handle; give each thread its own");
    }
    if (closing_) Raise("HandleClosed", "channel '" + channel + "': this handle was closed");
  }

  bool is_waiting() const { return waiting_; }
  bool is_closing() const { return closing_; }
  void Close() { closing_ = true; }

 private:
  friend class Waiting;
  bool waiting_ = false;
  bool closing_ = false;
};

class Waiting {
 public:
  explicit Waiting(Occupancy& occupancy) : occupancy_(occupancy) { occupancy_.waiting_ = true; }
  ~Waiting() { occupancy_.waiting_ = false; }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

 private:
  Occupancy& occupancy_;
};

// Calls `attempt`, which waits at most as long as it is told, without the GIL, until it answers true; false after `timeout`, or
// once `should_stop` does. Raises what a signal's handler raises. `attempt` is called at least once.
template <typename Attempt, typename Stop>
bool AttemptInSlices(absl::Duration timeout, const Attempt& attempt, const Stop& should_stop) {
  const Deadline deadline(timeout);
  while (true) {
    const absl::Duration left = deadline.left();
    bool is_done = false;
    {
      const pybind11::gil_scoped_release released;
      is_done = attempt(std::min(left, kSlice));
    }
    if (is_done) return true;
    if (PyErr_CheckSignals() != 0) throw pybind11::error_already_set();
    if (left <= kSlice || should_stop()) return false;
  }
}

template <typename Attempt>
bool AttemptInSlices(absl::Duration timeout, const Attempt& attempt) {
  return AttemptInSlices(timeout, attempt, [] { return false; });
}

// The same for the holder of a handle: the first attempt does not wait, and keeps the GIL. False too once the handle is being
// closed.
template <typename Attempt>
bool WaitInSlices(Occupancy& occupancy, absl::Duration timeout, const Attempt& attempt) {
  if (attempt(absl::ZeroDuration())) return true;
  if (timeout == absl::ZeroDuration()) return false;
  const Waiting waiting(occupancy);
  return AttemptInSlices(timeout, attempt, [&] { return occupancy.is_closing(); });
}

}  // namespace pylabhub::python

#endif  // PYLABHUB_CLIENT_PYTHON_WAITING_H_
