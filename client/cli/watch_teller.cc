#include "client/cli/watch_teller.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "proto/names/close_reason_word.h"
#include "shm/segment_id.h"

namespace pylabhub::cli {
namespace {

using nlohmann::ordered_json;

std::string Shown(const std::string& text) { return absl::Utf8SafeCHexEscape(text); }

}  // namespace

std::optional<WatchNews> WatchTeller::Tell(const WatchEvent& event) {
  WatchNews news{.revision = event.revision, .channel = event.channel};
  const std::string& name = event.channel.spec.name;
  switch (event.kind) {
    case WatchEventKind::kSnapshot:
      epochs_[name] = event.channel.epoch;
      news.what = "present";
      return news;
    case WatchEventKind::kChannelReady: {
      const auto [known, is_new] = epochs_.try_emplace(name, event.channel.epoch);
      news.what = is_new ? "created" : (known->second == event.channel.epoch ? "ready" : "replaced");
      known->second = event.channel.epoch;
      return news;
    }
    case WatchEventKind::kChannelClosing:
      news.what = "closing";
      return news;
    case WatchEventKind::kChannelRemoved:
      epochs_.erase(name);
      news.what = "closed";
      return news;
    case WatchEventKind::kConsumerJoined:
      news.what = "consumer_joined";
      return news;
    case WatchEventKind::kConsumerLeft:
      news.what = "consumer_left";
      return news;
    case WatchEventKind::kSchemaChanged:
      news.what = "schema_changed";
      return news;
    // A channel that is pending is told of when it is ready.
    case WatchEventKind::kChannelPending:
    case WatchEventKind::kSnapshotComplete:
    case WatchEventKind::kBookmark:
    case WatchEventKind::kUnknown:
      break;
  }
  return std::nullopt;
}

std::string TextOf(const WatchNews& news) {
  const Channel& channel = news.channel;
  std::string text = absl::StrCat(channel.spec.name, "  ", news.what);
  if (news.what == "closing") return absl::StrCat(text, "  ", names::CloseReasonWord(channel.close_reason));
  if (news.what == "closed") return text;
  return absl::StrCat(text, "  epoch ", channel.epoch, ", by ", Shown(channel.producer_identity),
                      " (process ", channel.spec.process.pid, " on ", Shown(channel.spec.process.host), "), ",
                      channel.consumer_count, channel.consumer_count == 1 ? " consumer" : " consumers");
}

ordered_json ToJson(const WatchNews& news) {
  const Channel& channel = news.channel;
  ordered_json json = {{"event", news.what},
                       {"channel", channel.spec.name},
                       {"revision", news.revision},
                       {"epoch", channel.epoch},
                       {"consumers", channel.consumer_count},
                       {"producer_identity", channel.producer_identity},
                       {"producer_pid", channel.spec.process.pid},
                       {"host", channel.spec.process.host},
                       {"segment_id", shm::SegmentId{channel.spec.segment_id}.ToHex()}};
  if (news.what == "closing") json["close_reason"] = names::CloseReasonWord(channel.close_reason);
  return json;
}

}  // namespace pylabhub::cli
