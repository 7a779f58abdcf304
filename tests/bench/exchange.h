// One message from a writer to a reader of any transport, and what can go wrong with it.
#pragma once

#include <cstdint>
#include <optional>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tests/bench/payload.h"

namespace pylabhub::bench {

inline absl::Status Silent(uint64_t sequence) {
  return absl::DeadlineExceededError(absl::StrCat("no answer from the peer at message ", sequence));
}

inline absl::Status Wrong(uint64_t sequence) {
  return absl::DataLossError(absl::StrCat("message ", sequence, " is not what was written"));
}

// The size of a line is known to the compiler, as it is to an application that sends a struct; others are not.
using LineSize = std::integral_constant<uint64_t, kLineBytes>;

template <typename Loop>
auto WithSize(uint64_t bytes, Loop loop) {
  return bytes == kLineBytes ? loop(LineSize()) : loop(bytes);
}

// Writes message `sequence`; false if there was no room in time.
template <typename Writer, typename Size>
inline bool Send(Writer& writer, uint64_t deadline_ticks, Size bytes, uint64_t sequence) {
  return writer.Write(deadline_ticks, [=](void* payload) { FillPayload(payload, bytes, sequence); });
}

// Reads the next message in full, which should be `sequence`; nothing if it did not come in time.
template <typename Reader, typename Size>
inline std::optional<Verdict> Receive(Reader& reader, uint64_t deadline_ticks, Size bytes,
                                      uint64_t sequence) {
  Verdict verdict = Verdict::kWrong;
  const auto use = [&verdict, bytes, sequence](const void* payload) {
    verdict = ReadPayload(payload, bytes, sequence);
  };
  if (!reader.Read(deadline_ticks, use)) return std::nullopt;
  return verdict;
}

// Small messages look at the clock seldom enough for it not to count; large ones each time.
inline uint64_t ClockMask(uint64_t bytes) { return bytes < 4096 ? 63 : 0; }

}  // namespace pylabhub::bench
