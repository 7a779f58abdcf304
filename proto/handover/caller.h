// A client's end of a hand-over: one connection to the broker's socket, on which it asks and is answered.
//
// Thread safety: thread-compatible.
// Time:          every call ends at `deadline` (of SteadyNow) at the latest.
// Errors:        those of packet.h, when there is no answer; what the broker refuses is in the answer's status.
#ifndef PYLABHUB_PROTO_HANDOVER_CALLER_H_
#define PYLABHUB_PROTO_HANDOVER_CALLER_H_

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/handover/descriptor.h"
#include "proto/handover/packet.h"
#include "proto/pylabhub/v1/hand_over.pb.h"

namespace pylabhub::handover {

struct Answer {
  v1::HandOverAnswer message = {};
  std::vector<Descriptor> descriptors = {};
};

class Caller {
 public:
  static absl::StatusOr<Caller> Connect(const std::string& path, absl::Time deadline);

  // `descriptors` stay the caller's, too.
  absl::StatusOr<Answer> Ask(const v1::HandOverRequest& request, std::span<const int> descriptors,
                             absl::Time deadline);

 private:
  explicit Caller(Descriptor socket) : socket_(std::move(socket)) {}

  Descriptor socket_;
};

}  // namespace pylabhub::handover

#endif  // PYLABHUB_PROTO_HANDOVER_CALLER_H_
