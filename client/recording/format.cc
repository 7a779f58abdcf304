#include "client/recording/format.h"

namespace pylabhub::recording {

absl::string_view NameOf(GapKind kind) {
  switch (kind) {
    case GapKind::kMissed:
      return "missed";
    case GapKind::kCorrupt:
      return "corrupt";
    case GapKind::kProducerClosed:
      return "producer_closed";
    case GapKind::kProducerDied:
      return "producer_died";
    case GapKind::kCutOff:
      return "cut_off";
    case GapKind::kSchemaChanged:
      return "schema_changed";
    case GapKind::kRecorderStopped:
      return "recorder_stopped";
  }
  return "unknown";
}

// HDF5 takes "." for the group that it stands in.
std::string GroupOf(absl::string_view channel) { return channel == "." ? "%2e" : std::string(channel); }

}  // namespace pylabhub::recording
