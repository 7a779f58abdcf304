// Tests payload.h: a reader must notice anything that is not the message it expects.
#include "tests/bench/payload.h"

#include <gtest/gtest.h>

#include <vector>

namespace pylabhub::bench {
namespace {

class PayloadTest : public testing::TestWithParam<uint64_t> {
 protected:
  PayloadTest() : payload_(GetParam()) { FillPayload(payload_.data(), payload_.size(), 7); }

  Verdict Read(uint64_t sequence) const { return ReadPayload(payload_.data(), payload_.size(), sequence); }

  std::vector<char> payload_;
};

TEST_P(PayloadTest, WhatWasWrittenIsGood) { EXPECT_EQ(Read(7), Verdict::kGood); }

TEST_P(PayloadTest, TheLastMessageIsMarked) {
  FillPayload(payload_.data(), payload_.size(), 7 | kLastMessage);
  EXPECT_EQ(Read(7), Verdict::kLast);
}

TEST_P(PayloadTest, AnotherMessageIsWrong) {
  EXPECT_EQ(Read(6), Verdict::kWrong);
  EXPECT_EQ(Read(8), Verdict::kWrong);
  EXPECT_EQ(Read(7 + 256), Verdict::kWrong) << "only the first word tells these apart";
}

TEST_P(PayloadTest, AnyByteOfAnotherMessageIsWrong) {
  for (char& byte : payload_) {
    ++byte;
    ASSERT_EQ(Read(7), Verdict::kWrong) << "byte " << &byte - payload_.data();
    --byte;
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, PayloadTest, testing::Values(64, 128, 4096));

}  // namespace
}  // namespace pylabhub::bench
