#include "client/reconnector.h"

#include <chrono>

namespace pylabhub {
namespace {

// How long the destructor may wait.
constexpr std::chrono::milliseconds kSlice(100);

}  // namespace

Reconnector::~Reconnector() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Reconnector::Look() {
  if (channel_->GetState(/*try_to_connect=*/false) == GRPC_CHANNEL_READY) return;
  const std::lock_guard lock(mutex_);
  is_wanted_ = true;
  if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
  changed_.notify_all();
}

void Reconnector::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return is_wanted_ || is_stopping_; });
    if (is_stopping_) return;
    lock.unlock();
    const bool is_connected = channel_->WaitForConnected(std::chrono::system_clock::now() + kSlice);
    lock.lock();
    if (is_connected) is_wanted_ = false;
  }
}

}  // namespace pylabhub
