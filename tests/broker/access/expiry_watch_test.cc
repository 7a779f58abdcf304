// What is said before a certificate ends, and when.

#include "broker/access/expiry_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace pylabhub::broker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr absl::Duration kDay = absl::Hours(24);
constexpr absl::Duration kTick = absl::Nanoseconds(1);

class ExpiryWatchTest : public ::testing::Test {
 protected:
  // What is said, event by event, when there is so much left.
  std::vector<std::string> SaidWith(absl::Duration left) {
    events_.clear();
    watch_.Look(certificate_, certificate_.expire_time - left);
    return events_;
  }
  void GoodFor(absl::Duration lifetime) { certificate_.expire_time = certificate_.not_before + lifetime; }

  std::vector<std::string> events_;
  ExpiryWatch watch_{[this](const LogRecord& record) { events_.push_back(record.event); }};
  CertificateInUse certificate_ = {
      .role = "server", .serial = "1f", .not_before = absl::FromUnixSeconds(1'000'000)};
};

TEST_F(ExpiryWatchTest, ACertificateOfTwoYearsIsToldAMonthAndAWeekBeforeItsEndAndAtIt) {
  GoodFor(730 * kDay);
  EXPECT_THAT(SaidWith(30 * kDay + kTick), IsEmpty());
  EXPECT_THAT(SaidWith(30 * kDay), ElementsAre("certificate_expires_soon"));
  EXPECT_THAT(SaidWith(8 * kDay), IsEmpty());
  EXPECT_THAT(SaidWith(7 * kDay), ElementsAre("certificate_expires_soon"));
  EXPECT_THAT(SaidWith(kTick), IsEmpty());
  EXPECT_THAT(SaidWith(absl::ZeroDuration()), ElementsAre("certificate_expired"));
  EXPECT_THAT(SaidWith(-kDay), IsEmpty());
}

TEST_F(ExpiryWatchTest, ACertificateOfADayIsToldInItsLastFifthAndTwentieth) {
  GoodFor(kDay);
  EXPECT_THAT(SaidWith(kDay / 5 + kTick), IsEmpty());
  EXPECT_THAT(SaidWith(kDay / 5), ElementsAre("certificate_expires_soon"));
  EXPECT_THAT(SaidWith(kDay / 20), ElementsAre("certificate_expires_soon"));
}

TEST_F(ExpiryWatchTest, EachCertificateIsToldForItself) {
  GoodFor(kDay);
  EXPECT_THAT(SaidWith(absl::ZeroDuration()), ElementsAre("certificate_expired"));
  certificate_.serial = "2e";
  EXPECT_THAT(SaidWith(absl::ZeroDuration()), ElementsAre("certificate_expired"));
  certificate_.role = "client";
  EXPECT_THAT(SaidWith(absl::ZeroDuration()), ElementsAre("certificate_expired"));
}

}  // namespace
}  // namespace pylabhub::broker
