// The policies, for tests that say "every policy". ChannelConfigTest.NoPolicyIsMissingWhereATestSaysEveryPolicy sees to it
// that there are no others.
#ifndef PYLABHUB_TESTS_SUPPORT_EVERY_POLICY_H_
#define PYLABHUB_TESTS_SUPPORT_EVERY_POLICY_H_

#include "shm/channel_config.h"

namespace pylabhub::testing {

inline constexpr shm::Policy kEveryPolicy[] = {shm::Policy::kLatestOnly, shm::Policy::kPublishSubscribe,
                                               shm::Policy::kSingleReader, shm::Policy::kSyncReader,
                                               shm::Policy::kPipeline};

}  // namespace pylabhub::testing

#endif  // PYLABHUB_TESTS_SUPPORT_EVERY_POLICY_H_
