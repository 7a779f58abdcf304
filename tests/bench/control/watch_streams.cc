#include "tests/bench/control/watch_streams.h"

#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <utility>

#include "absl/strings/str_cat.h"

namespace pylabhub::bench {
namespace {

constexpr std::chrono::seconds kPatience{60};

std::string BytesOf(const grpc::ByteBuffer& message) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (!message.Dump(&slices).ok()) return bytes;
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

}  // namespace

// One call: begins, says its request, and is read until it ends. Steps are one thread's, the queue's reader's.
class WatchStreams::Stream {
 public:
  Stream(grpc::GenericStub& stub, const WatchedName& watched, grpc::CompletionQueue& queue)
      : call_(stub.PrepareCall(&context_, watched.method, &queue)) {
    const grpc::Slice request(watched.request);
    request_ = grpc::ByteBuffer(&request, 1);
    call_->StartCall(this);
  }

  void Cancel() { context_.TryCancel(); }

  // The step before has ended. The message that came with it, if one did.
  const grpc::ByteBuffer* Next() {
    switch (++steps_) {
      case 1:
        call_->Write(request_, this);
        return nullptr;
      case 2:
        call_->Read(&message_, this);
        return nullptr;
      default:
        return &message_;
    }
  }
  void Read() { call_->Read(&message_, this); }

  uint64_t last_mark_number = 0;
  bool has_begun = false;

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer message_;
  int steps_ = 0;
};

WatchStreams::WatchStreams(const WatchedName& watched, int connections, int streams) {
  for (int connection = 0; connection < connections; ++connection) {
    grpc::GenericStub stub(watched.connect());
    for (int i = 0; i < streams; ++i) streams_.push_back(std::make_unique<Stream>(stub, watched, queue_));
  }
  reader_ = std::thread([this] { ReadAll(); });
}

WatchStreams::~WatchStreams() {
  for (const auto& stream : streams_) stream->Cancel();
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return ended_ == streams_.size(); });
  }
  queue_.Shutdown();
  reader_.join();
}

void WatchStreams::ReadAll() {
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) {
    auto& stream = *static_cast<Stream*>(tag);
    if (!ok) {
      const std::lock_guard lock(mutex_);
      ++ended_;
      changed_.notify_all();
      continue;
    }
    const grpc::ByteBuffer* const message = stream.Next();
    if (message == nullptr) continue;
    Count(stream, BytesOf(*message));
    stream.Read();
  }
}

void WatchStreams::Count(Stream& stream, const std::string& message) {
  const std::lock_guard lock(mutex_);
  if (!std::exchange(stream.has_begun, true) && ++begun_ == streams_.size()) changed_.notify_all();
  if (mark_.empty() || stream.last_mark_number == mark_number_) return;
  if (message.find(mark_) == std::string::npos) return;
  stream.last_mark_number = mark_number_;
  if (++told_ < streams_.size()) return;
  last_time_ = Clock::now();
  changed_.notify_all();
}

absl::Status WatchStreams::AwaitBeginning() {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, kPatience, [this] { return begun_ == streams_.size() || ended_ != 0; });
  if (begun_ == streams_.size() && ended_ == 0) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("of ", streams_.size(), " streams ", begun_, " have begun, ", ended_, " have ended"));
}

void WatchStreams::Begin(const std::string& mark) {
  const std::lock_guard lock(mutex_);
  mark_ = mark;
  ++mark_number_;
  told_ = 0;
}

absl::StatusOr<WatchStreams::Clock::time_point> WatchStreams::Await() {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, kPatience, [this] { return told_ == streams_.size() || ended_ != 0; });
  if (told_ == streams_.size()) return last_time_;
  return absl::DeadlineExceededError(
      absl::StrCat("of ", streams_.size(), " streams ", told_, " were told, ", ended_, " have ended"));
}

}  // namespace pylabhub::bench
