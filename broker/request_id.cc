#include "broker/request_id.h"

#include <algorithm>
#include <random>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace pylabhub::broker {
namespace {

std::string RandomPrefix() {
  std::random_device random;
  return absl::StrFormat("b%08x%08x-", random(), random());
}

}  // namespace

bool IsRequestId(absl::string_view text) {
  return !text.empty() && text.size() <= kMaxRequestIdBytes &&
         std::all_of(text.begin(), text.end(), [](char c) { return absl::ascii_isprint(c); });
}

RequestIdMaker::RequestIdMaker() : prefix_(RandomPrefix()) {}

std::string RequestIdMaker::Next() {
  // Relaxed: only the number itself is used.
  return absl::StrCat(prefix_, count_.fetch_add(1, std::memory_order_relaxed) + 1);
}

}  // namespace pylabhub::broker
