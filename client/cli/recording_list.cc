#include "client/cli/recording_list.h"

#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "client/cli/quantity.h"
#include "client/recording/recorded_file.h"

namespace pylabhub::cli {
namespace {

using nlohmann::ordered_json;
using recording::GapKind;
using recording::GapRow;
using recording::RecordedFile;
using recording::SlotReader;

struct Contents {
  std::string path;
  std::string channel;
  std::string schema;
  uint64_t slots = 0;
  uint64_t record_bytes = 0;
  std::optional<std::pair<int64_t, int64_t>> times;
  uint64_t segments = 0;
  uint64_t missed_slots = 0;
  uint64_t corrupt_slots = 0;
  bool has_end = false;
};

std::string TimeText(int64_t timestamp_ns) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::FromUnixNanos(timestamp_ns), absl::UTCTimeZone());
}

// Everything after which nothing more comes. The channel may still go on in the next part.
bool IsEnd(GapKind kind) { return kind != GapKind::kMissed && kind != GapKind::kCorrupt; }

absl::StatusOr<Contents> ContentsOf(const RecordedFile& file, const std::string& group) {
  const absl::StatusOr<SlotReader> reader = file.OpenChannel(group);
  if (!reader.ok()) return reader.status();
  const auto times = reader->Times();
  if (!times.ok()) return times.status();
  const absl::StatusOr<std::vector<GapRow>> gaps = reader->Gaps();
  if (!gaps.ok()) return gaps.status();
  const auto segments = reader->Segments();
  if (!segments.ok()) return segments.status();
  Contents contents = {.path = file.path(),
                       .channel = reader->config().channel,
                       .schema = reader->config().schema.name,
                       .slots = reader->slots(),
                       .record_bytes = reader->record_bytes_in_all(),
                       .times = *times,
                       .segments = segments->size()};
  for (const GapRow& gap : *gaps) {
    (gap.kind == GapKind::kCorrupt ? contents.corrupt_slots : contents.missed_slots) += gap.missed_slots;
    contents.has_end = IsEnd(gap.kind) && gap.before_slot == reader->slots();
  }
  return contents;
}

void PrintText(const Contents& contents) {
  std::string line = absl::StrCat(contents.path, "  ", contents.channel, "  ", contents.schema, "  ",
                                  contents.slots, " slots  ", BytesText(contents.record_bytes));
  if (contents.times.has_value()) {
    const auto [first_ns, last_ns] = *contents.times;
    absl::StrAppend(
        &line, "  ", TimeText(first_ns), " + ",
        absl::FormatDuration(absl::Trunc(absl::Nanoseconds(last_ns - first_ns), absl::Milliseconds(1))));
  }
  absl::StrAppend(&line, "  ", contents.segments, " producer(s)");
  if (contents.missed_slots > 0) absl::StrAppend(&line, "  missed ", contents.missed_slots);
  if (contents.corrupt_slots > 0) absl::StrAppend(&line, "  corrupt ", contents.corrupt_slots);
  if (!contents.has_end) absl::StrAppend(&line, "  goes on, or was not ended");
  std::puts(line.c_str());
}

void PrintJson(const Contents& contents) {
  ordered_json json = {{"file", contents.path},
                       {"channel", contents.channel},
                       {"schema", contents.schema},
                       {"slots", contents.slots},
                       {"record_bytes", contents.record_bytes}};
  if (contents.times.has_value()) {
    json["first_timestamp_ns"] = contents.times->first;
    json["last_timestamp_ns"] = contents.times->second;
  }
  json["producers"] = contents.segments;
  json["missed_slots"] = contents.missed_slots;
  json["corrupt_slots"] = contents.corrupt_slots;
  json["ended"] = contents.has_end;
  std::puts(json.dump(-1, ' ', false, ordered_json::error_handler_t::replace).c_str());
}

}  // namespace

absl::Status ListRecording(const std::vector<std::string>& paths, Output output) {
  for (const std::string& path : paths) {
    const absl::StatusOr<RecordedFile> file = RecordedFile::Open(path);
    if (!file.ok()) return file.status();
    for (const std::string& group : file->groups()) {
      const absl::StatusOr<Contents> contents = ContentsOf(*file, group);
      if (!contents.ok()) return contents.status();
      output == Output::kJson ? PrintJson(*contents) : PrintText(*contents);
    }
  }
  return absl::OkStatus();
}

}  // namespace pylabhub::cli
