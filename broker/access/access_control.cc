#include "broker/access/access_control.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "broker/refusal.h"

namespace pylabhub::broker {

using policy::Action;

bool CallerRights::May(Action action, absl::string_view channel) const {
  if (rights_ != nullptr) return rights_->May(action, channel);
  if (action == Action::kAdmin) return is_admin_;
  return action != Action::kForce;
}

bool CallerRights::MayAny(Action action) const {
  return rights_ != nullptr ? rights_->MayAny(action) : May(action, "");
}

absl::Status CallerRights::Check(Action action, absl::string_view channel) const {
  if (May(action, channel)) return absl::OkStatus();
  denied_->at(static_cast<size_t>(action))->Increment();
  const std::string what = channel.empty() ? std::string(NameOf(action))
                                           : absl::StrCat(NameOf(action), " channel \"", channel, "\"");
  const std::string mend = rights_ != nullptr
                               ? "the broker's policy does not allow it; ask whoever runs the broker"
                               : absl::StrCat(
                                     "it is no administrator of this broker; its operator can make it one "
                                     "(pylabhub-broker --admin ",
                                     identity_, ")");
  absl::Status status = Refuse(
      Reason::kPolicyDenied, absl::StrCat("\"", identity_, "\" may not ", what, ": ", mend),
      {{"identity", identity_}, {"action", std::string(NameOf(action))}, {"channel", std::string(channel)}});
  const policy::Rule* const rule = rights_ == nullptr ? nullptr : rights_->Decide(action, channel).rule;
  AddLogField(status, "action", NameOf(action));
  AddLogField(status, "rule",
              rule == nullptr ? "none" : absl::StrCat(rule->name, " (line ", rule->line, ")"));
  return status;
}

std::string CallerRights::watch_view() const {
  if (rights_ == nullptr) return "";
  return absl::StrFormat("%016x", rights_->Fingerprint(Action::kWatch));
}

std::string HistoryIdFor(absl::string_view history_id, const CallerRights& rights) {
  const std::string view = rights.watch_view();
  return view.empty() ? std::string(history_id) : absl::StrCat(history_id, "-", view);
}

AccessControl::AccessControl(const std::vector<std::string>& admins, Metrics& metrics)
    : admins_(admins.begin(), admins.end()) {
  for (size_t i = 0; i < policy::kActionCount; ++i) {
    const std::string action = absl::AsciiStrToLower(NameOf(static_cast<Action>(i)));
    denied_[i] = &metrics.AddCounter("pylabhub_broker_policy_denied_total",
                                     "What callers asked for and may not do.", {{"action", action}});
  }
}

void AccessControl::Publish(std::shared_ptr<const policy::Policy> policy) {
  const std::lock_guard<std::mutex> lock(mutex_);
  policy_ = std::move(policy);
  ++generation_;
}

CallerRights AccessControl::RightsOf(absl::string_view identity) const {
  CallerRights rights;
  rights.identity_ = std::string(identity);
  rights.denied_ = &denied_;
  std::shared_ptr<const policy::Policy> policy;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    policy = policy_;
    rights.generation_ = generation_;
  }
  if (policy != nullptr) {
    rights.rights_ = policy->RightsOf(identity);
  } else {
    rights.is_admin_ = admins_.contains(identity);
  }
  return rights;
}

}  // namespace pylabhub::broker
