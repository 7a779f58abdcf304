// The reasons are told in three places: the code, the wire's own list, and the page for callers. They agree.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "broker/refusal.h"
#include "proto/pylabhub/v1/errors.pb.h"

namespace pylabhub::broker {
namespace {

using ::testing::HasSubstr;

std::string CodeName(absl::StatusCode code) { return absl::StatusCodeToString(code); }

TEST(ErrorTableTest, EveryReasonIsOnTheWiresOwnList) {
  for (const Reason reason : AllReasons()) {
    v1::ErrorReason value;
    EXPECT_TRUE(v1::ErrorReason_Parse(absl::StrCat("ERROR_REASON_", ReasonName(reason)), &value))
        << ReasonName(reason);
  }
}

TEST(ErrorTableTest, EveryReasonStandsInTheDocumentWithItsCode) {
  std::stringstream page;
  page << std::ifstream("docs/wire_api.md").rdbuf();
  for (const Reason reason : AllReasons()) {
    EXPECT_THAT(page.str(),
                HasSubstr(absl::StrCat("| `", ReasonName(reason), "` | `", CodeName(CodeOf(reason)), "` |")));
  }
}

}  // namespace
}  // namespace pylabhub::broker
