#include "client/cli/slot_printer.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/terminal.h"

namespace pylabhub::cli {
namespace {

absl::Status OutputError() {
  if (errno == EPIPE) return absl::CancelledError("nobody reads the output any more");
  return absl::UnavailableError(absl::StrCat("writing standard output failed: ", std::strerror(errno)));
}

absl::Status PrintLine(const std::string& line) {
  return std::puts(line.c_str()) < 0 ? OutputError() : absl::OkStatus();
}

// Straight from shared memory to the descriptor: no copy of our own.
absl::Status WriteAll(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(STDOUT_FILENO, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return OutputError();
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status SlotPrinter::Print(const shm::ReadSlot& slot, uint64_t passed_over) {
  const uint64_t missed_slots = slot.missed_slots() + passed_over;
  switch (shape_) {
    case Shape::kText:
      return PrintText(slot, missed_slots);
    case Shape::kJson:
      return PrintJson(slot, missed_slots);
    case Shape::kRaw:
      if (missed_slots > 0) {
        Note(absl::StrCat("missed ", missed_slots, " slots before slot ", slot.sequence()));
      }
      return WriteAll(slot.payload());
  }
  return absl::OkStatus();
}

absl::Status SlotPrinter::Flush() { return std::fflush(stdout) == 0 ? absl::OkStatus() : OutputError(); }

absl::Status SlotPrinter::PrintText(const shm::ReadSlot& slot, uint64_t missed_slots) {
  std::string line =
      Paint(STDOUT_FILENO, Colour::kDim,
            absl::StrFormat("#%d  %s", slot.sequence(),
                            absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", slot.timestamp(), absl::UTCTimeZone())));
  if (missed_slots > 0) {
    absl::StrAppend(&line, "  ",
                    Paint(STDOUT_FILENO, Colour::kYellow, absl::StrCat("(missed ", missed_slots, ")")));
  }
  if (slot.redelivered()) {
    absl::StrAppend(&line, "  ", Paint(STDOUT_FILENO, Colour::kYellow, "(redelivered)"));
  }
  absl::StrAppend(&line, "  ", decoder_.Text(slot.payload()));
  return PrintLine(line);
}

absl::Status SlotPrinter::PrintJson(const shm::ReadSlot& slot, uint64_t missed_slots) {
  nlohmann::ordered_json object = {{"sequence", slot.sequence()},
                                   {"timestamp_ns", slot.timestamp_ns()},
                                   {"missed_slots", missed_slots},
                                   {"payload_bytes", slot.payload().size()}};
  if (slot.redelivered()) object["redelivered"] = true;
  object.update(decoder_.Json(slot.payload()));
  // A character array need not be UTF-8; JSON must be.
  return PrintLine(object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

}  // namespace pylabhub::cli
