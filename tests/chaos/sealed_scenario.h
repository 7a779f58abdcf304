// A short life of a channel whose memory is handed over, as scenario.h has of named ones: producers that follow one another,
// renew the guest's part and move on without it; a consumer that stays and one that is evicted and comes again. The test itself
// is who deals the descriptors out.
#ifndef PYLABHUB_TESTS_CHAOS_SEALED_SCENARIO_H_
#define PYLABHUB_TESTS_CHAOS_SEALED_SCENARIO_H_

#include <optional>
#include <string>
#include <vector>

#include "tests/chaos/scenario.h"

namespace pylabhub::chaos {

// As Play, of a shape of Script::kHandedOver.
Outcome PlayHandedOver(const Shape& shape, const std::optional<Victim>& victim,
                       const std::vector<std::string>& points);

}  // namespace pylabhub::chaos

#endif  // PYLABHUB_TESTS_CHAOS_SEALED_SCENARIO_H_
