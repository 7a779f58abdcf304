// Who may do what now: every service asks it about every call. Behind it stands a policy (proto/policy/policy.h), or none:
// then whoever has a certificate may do everything but administrate and take channels from others, and administrators are
// those that the broker was told at its start.
//
// Thread safety: thread-safe.
// Time:          a decision takes well below 2 us with 1,000 rules, and hardly any with no policy.
#ifndef PYLABHUB_BROKER_ACCESS_ACCESS_CONTROL_H_
#define PYLABHUB_BROKER_ACCESS_ACCESS_CONTROL_H_

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "broker/metrics.h"
#include "proto/policy/policy.h"

namespace pylabhub::broker {

// What one caller may do, by the policy that stood at one moment: for one call, or for a stream until it is asked again.
// Cheap to copy. Outlives the AccessControl that it came from, but for Check.
class CallerRights {
 public:
  CallerRights() = default;

  // `channel`: a name, or empty for what is about the whole broker. Nothing is logged or counted.
  bool May(policy::Action action, absl::string_view channel) const;

  // False is certain: there is no channel for which the action is allowed.
  bool MayAny(policy::Action action) const;

  // The same, for who asked for just that, and is told.
  //
  // Errors:
  //   POLICY_DENIED  with the caller's identity, the action and the channel; for the log alone, the rule that decided
  absl::Status Check(policy::Action action, absl::string_view channel) const;

  // Names what Watch shows this caller of the directory: equal for equal rules, from one broker process to the next. Empty:
  // everything.
  std::string watch_view() const;

 private:
  friend class AccessControl;

  using DeniedCounters = std::array<prometheus::Counter*, policy::kActionCount>;

  std::string identity_ = {};
  std::shared_ptr<const policy::Rights> rights_ = nullptr;  // null: no policy
  bool is_admin_ = false;                                   // without a policy
  const DeniedCounters* denied_ = nullptr;
  uint64_t generation_ = 0;
};

class AccessControl {
 public:
  // `admins` are who may administrate while there is no policy. `metrics` outlives this.
  AccessControl(const std::vector<std::string>& admins, Metrics& metrics);

  AccessControl(const AccessControl&) = delete;
  AccessControl& operator=(const AccessControl&) = delete;

  // From now on that policy stands. Not null.
  void Publish(std::shared_ptr<const policy::Policy> policy);

  CallerRights RightsOf(absl::string_view identity) const;

  // Whether no policy was published since `rights` were asked for.
  bool IsCurrent(const CallerRights& rights) const { return rights.generation_ == generation(); }

  // Counts policies from 0, none.
  uint64_t generation() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return generation_;
  }

  // Null: none.
  std::shared_ptr<const policy::Policy> policy() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return policy_;
  }

 private:
  const std::set<std::string, std::less<>> admins_;
  CallerRights::DeniedCounters denied_;

  // Not absl::Mutex: Debian's is not built for ThreadSanitizer, which then sees races where there are none.
  mutable std::mutex mutex_;
  std::shared_ptr<const policy::Policy> policy_ = nullptr;  // both under mutex_
  uint64_t generation_ = 0;
};

// The id by which this caller knows the directory's history. Who may see other channels than before has another history: events
// that it was not told of cannot be told any more, so a watch that is resumed must begin with a snapshot.
std::string HistoryIdFor(absl::string_view history_id, const CallerRights& rights);

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_ACCESS_ACCESS_CONTROL_H_
