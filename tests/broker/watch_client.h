// A watcher on the wire, as a client in any language has it.
#ifndef PYLABHUB_TESTS_BROKER_WATCH_CLIENT_H_
#define PYLABHUB_TESTS_BROKER_WATCH_CLIENT_H_

#include <grpcpp/client_context.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "proto/pylabhub/v1/broker.grpc.pb.h"

namespace pylabhub::broker {

// One stream. Reads block until something comes, and the stream lasts for at most 50 s.
//
// Thread safety: thread-compatible, but that Cancel may be called at any time.
class WatchClient {
 public:
  WatchClient(v1::Broker::Stub& stub, const v1::WatchRequest& request) {
    context_->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(50));
    reader_ = stub.Watch(context_.get(), request);
  }
  ~WatchClient() {
    if (!status_.has_value()) {
      Cancel();
      End();
    }
  }
  WatchClient(const WatchClient&) = delete;
  WatchClient& operator=(const WatchClient&) = delete;

  // The next event; nothing when the stream has ended.
  std::optional<v1::WatchEvent> Next() {
    while (events_.empty()) {
      v1::WatchResponse response;
      if (!reader_->Read(&response)) return std::nullopt;
      history_id_ = response.history_id();
      ++message_count_;
      largest_message_bytes_ = std::max(largest_message_bytes_, response.ByteSizeLong());
      for (v1::WatchEvent& event : *response.mutable_events()) events_.push_back(std::move(event));
    }
    v1::WatchEvent event = std::move(events_.front());
    events_.pop_front();
    return event;
  }

  // The next one that is no bookmark.
  std::optional<v1::WatchEvent> NextChange() {
    while (true) {
      std::optional<v1::WatchEvent> event = Next();
      if (!event.has_value() || event->kind() != v1::WATCH_EVENT_KIND_BOOKMARK) return event;
    }
  }

  // "READY sensor.a", or the kind alone where there is no channel; "the end" if there is no further.
  std::string NextLine() { return LineOf(NextChange()); }
  std::vector<std::string> NextLines(size_t count) {
    std::vector<std::string> lines;
    for (size_t i = 0; i < count; ++i) lines.push_back(NextLine());
    return lines;
  }
  static std::string LineOf(const std::optional<v1::WatchEvent>& event) {
    if (!event.has_value()) return "the end";
    std::string kind = v1::WatchEventKind_Name(event->kind()).substr(sizeof("WATCH_EVENT_KIND_") - 1);
    if (kind.rfind("CHANNEL_", 0) == 0) kind = kind.substr(sizeof("CHANNEL_") - 1);
    return event->has_channel() ? kind + " " + event->channel().spec().name() : kind;
  }

  void Cancel() { context_->TryCancel(); }

  // How the stream ended; reads what is left of it.
  grpc::Status End() {
    while (Next().has_value()) {
    }
    if (!status_.has_value()) status_ = reader_->Finish();
    return *status_;
  }

  const std::string& history_id() const { return history_id_; }
  int message_count() const { return message_count_; }
  size_t largest_message_bytes() const { return largest_message_bytes_; }

 private:
  std::unique_ptr<grpc::ClientContext> context_ = std::make_unique<grpc::ClientContext>();
  std::unique_ptr<grpc::ClientReader<v1::WatchResponse>> reader_;
  std::deque<v1::WatchEvent> events_;
  std::optional<grpc::Status> status_;
  std::string history_id_;
  int message_count_ = 0;
  size_t largest_message_bytes_ = 0;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_TESTS_BROKER_WATCH_CLIENT_H_
