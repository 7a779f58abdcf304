#include "broker/request_id.h"

#include <gtest/gtest.h>

#include <string>

namespace pylabhub::broker {
namespace {

TEST(RequestIdTest, OneToSixtyFourPrintableAsciiCharactersAreAnId) {
  EXPECT_TRUE(IsRequestId("a"));
  EXPECT_TRUE(IsRequestId(std::string(64, '~')));
  EXPECT_TRUE(IsRequestId("with a space"));
  EXPECT_FALSE(IsRequestId(""));
  EXPECT_FALSE(IsRequestId(std::string(65, 'a')));
  EXPECT_FALSE(IsRequestId("line\nbreak"));
  EXPECT_FALSE(IsRequestId("\x7f"));
  EXPECT_FALSE(IsRequestId("\xc3\xa9"));
}

TEST(RequestIdTest, MadeIdsDifferAlsoThoseOfTwoBrokers) {
  RequestIdMaker one;
  RequestIdMaker other;
  const std::string first = one.Next();
  EXPECT_TRUE(IsRequestId(first));
  EXPECT_NE(first, one.Next());
  EXPECT_NE(first, other.Next());
}

}  // namespace
}  // namespace pylabhub::broker
