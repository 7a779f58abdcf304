// Where two schemas differ, in words, for the message of a refusal. The broker says it in the same words
// (broker/schema_compatibility.h); this is for those who have none.
//
// Thread safety: a free function with no shared state.
#ifndef PYLABHUB_SHM_SCHEMA_DIFFERENCE_H_
#define PYLABHUB_SHM_SCHEMA_DIFFERENCE_H_

#include <string>

#include "shm/schema.h"

namespace pylabhub::shm {

// The first place where a segment's schema is not the expected one, for instance
// `field 3 "celsius": unit is "degC", expected "K"`. Empty if they are equal.
std::string FirstDifference(const Schema& carried, const Schema& expected);

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_SCHEMA_DIFFERENCE_H_
