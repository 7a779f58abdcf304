// The id that a call is followed by, from the client's log to the broker's: what the client sent as the metadata
// `pylabhub-request-id`, or one that the broker makes if that is missing or not 1 to 64 printable ASCII characters.
//
// Thread safety: thread-safe.
#ifndef PYLABHUB_BROKER_REQUEST_ID_H_
#define PYLABHUB_BROKER_REQUEST_ID_H_

#include <atomic>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace pylabhub::broker {

constexpr char kRequestIdKey[] = "pylabhub-request-id";
constexpr size_t kMaxRequestIdBytes = 64;

bool IsRequestId(absl::string_view text);

// Makes ids that no other broker, nor this one after another start, makes.
class RequestIdMaker {
 public:
  RequestIdMaker();

  std::string Next();

 private:
  const std::string prefix_;
  std::atomic<uint64_t> count_ = 0;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_REQUEST_ID_H_
