#include "shm/c_api.h"
#include "shm/c_api_convert.h"
#include "shm/c_api_handles.h"
#include "shm/wait_set.h"

using pylabhub::shm::WaitOutcome;
using pylabhub::shm::WaitResult;
using pylabhub::shm::WaitSet;
namespace c_api = pylabhub::shm::c_api;

struct plh_wait_set {
  WaitSet set;
};

namespace {

int32_t Answer(const absl::Status& status, plh_error* error) {
  c_api::Explain(status, error);
  return static_cast<int32_t>(status.code());
}

absl::Status NoHandle() { return absl::InvalidArgumentError("set or consumer is NULL"); }

}  // namespace

plh_wait_set* plh_wait_set_create(int64_t spin_ns) {
  return new plh_wait_set{.set = WaitSet({.spin = c_api::DurationOf(spin_ns)})};
}

void plh_wait_set_destroy(plh_wait_set* set) { delete set; }

int32_t plh_wait_set_add(plh_wait_set* set, plh_consumer* consumer, int32_t priority, uint64_t key,
                         plh_error* error) {
  if (set == nullptr || consumer == nullptr) return Answer(NoHandle(), error);
  return Answer(set->set.Add(*consumer->block, {.priority = priority, .key = key}), error);
}

int32_t plh_wait_set_remove(plh_wait_set* set, plh_consumer* consumer, plh_error* error) {
  if (set == nullptr || consumer == nullptr) return Answer(NoHandle(), error);
  return Answer(set->set.Remove(*consumer->block), error);
}

plh_result plh_wait_set_wait(plh_wait_set* set, int64_t timeout_ns, uint64_t* key) {
  if (set == nullptr || key == nullptr) return PLH_NO_SLOT;
  const WaitResult result = set->set.Wait(c_api::DurationOf(timeout_ns));
  switch (result.outcome) {
    case WaitOutcome::kReady:
      *key = result.key;
      return PLH_OK;
    case WaitOutcome::kWoken:
      return PLH_WOKEN;
    case WaitOutcome::kTimeout:
      return PLH_TIMEOUT;
    case WaitOutcome::kForked:
      return PLH_FORKED;
  }
  return PLH_NO_SLOT;
}

void plh_wait_set_wake(plh_wait_set* set) {
  if (set != nullptr) set->set.Wake();
}
