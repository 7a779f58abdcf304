#include "proto/handover/caller.h"

namespace pylabhub::handover {

absl::StatusOr<Caller> Caller::Connect(const std::string& path, absl::Time deadline) {
  absl::StatusOr<Descriptor> socket = handover::Connect(path, deadline);
  if (!socket.ok()) return socket.status();
  return Caller(*std::move(socket));
}

absl::StatusOr<Answer> Caller::Ask(const v1::HandOverRequest& request, std::span<const int> descriptors,
                                   absl::Time deadline) {
  absl::Status sent = Send(socket_.get(), request.SerializeAsString(), descriptors, deadline);
  if (!sent.ok()) return sent;
  absl::StatusOr<Packet> packet = Receive(socket_.get(), deadline);
  if (!packet.ok()) return packet.status();
  Answer answer = {.descriptors = std::move(packet->descriptors)};
  if (!answer.message.ParseFromString(packet->bytes)) {
    return absl::DataLossError("what the broker's socket answers is no HandOverAnswer");
  }
  return answer;
}

}  // namespace pylabhub::handover
