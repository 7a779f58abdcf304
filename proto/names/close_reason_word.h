// How logs and tools write why a channel is closing.
#ifndef PYLABHUB_PROTO_NAMES_CLOSE_REASON_WORD_H_
#define PYLABHUB_PROTO_NAMES_CLOSE_REASON_WORD_H_

namespace pylabhub::names {

// "lease_expired" and so on. `Reason` is the broker's own enumeration or the client's, each with the values of CloseReason in
// pylabhub/v1/channel.proto; for one that says nothing, "unknown".
template <typename Reason>
constexpr const char* CloseReasonWord(Reason reason) {
  switch (reason) {
    case Reason::kDeregistered:
      return "deregistered";
    case Reason::kLeaseExpired:
      return "lease_expired";
    case Reason::kReplaced:
      return "replaced";
    case Reason::kClosedByAdmin:
      return "closed_by_admin";
    case Reason::kRevoked:
      return "revoked";
    default:
      return "unknown";
  }
}

}  // namespace pylabhub::names

#endif  // PYLABHUB_PROTO_NAMES_CLOSE_REASON_WORD_H_
