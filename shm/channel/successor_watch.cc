#include "shm/channel/successor_watch.h"

namespace pylabhub::shm {

void SuccessorWatch::Reopen() {
  anchor_.reset();
  if (!files_.has_value()) return;
  absl::StatusOr<Anchor> anchor = Anchor::Open(*files_);
  if (anchor.ok()) anchor_ = *std::move(anchor);
}

std::optional<FutexWord> SuccessorWatch::word() const {
  if (!anchor_.has_value()) return std::nullopt;
  return anchor_->word();
}

}  // namespace pylabhub::shm
