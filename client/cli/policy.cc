#include "client/cli/policy.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli/exit_code.h"
#include "client/cli/terminal.h"
#include "proto/names/name_pattern.h"
#include "proto/policy/explain.h"
#include "proto/policy/policy_file.h"
#include "proto/policy/unreachable.h"

namespace pylabhub::cli {
namespace {

using nlohmann::ordered_json;
using policy::Explanation;
using policy::Rule;

constexpr char kCheckHelp[] = R"(
Every problem is one line, FILE:LINE:COLUMN: what is wrong and what is allowed. A warning is about a policy that is good
and perhaps not what was meant: a rule that never decides anything, a pattern that matches more than it seems to.

Exit codes: 0 good; 1 not (with --strict: or there are warnings); 2 wrong command line.

Examples:
  pylabhub policy check policy.textproto && mv policy.textproto /etc/pylabhub/
)";

constexpr char kExplainHelp[] = R"(
IDENTITY is what a client's certificate proves: its SPIFFE URI, else its first DNS name, else its common name.
CHANNEL is a channel's name, or "" for what is about the whole broker, as Admin.Drain is.

Exit codes: 0 allowed; 1 the policy cannot be read; 2 wrong command line; 7 denied.

Examples:
  pylabhub policy explain spiffe://lab/viewer CONSUME camera.left --policy policy.textproto
  pylabhub policy explain operator ADMIN "" --policy policy.textproto --output json
)";

// What stands in a file must not steer the terminal that it is shown on.
std::string Printable(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return absl::ascii_iscntrl(c); }, '?');
  return text;
}

struct CheckOptions {
  std::string file;
  bool strict = false;
};

ExitCode Check(const CheckOptions& options) {
  const policy::PolicyReport report = policy::ReadPolicyFile(options.file);
  std::vector<policy::Problem> problems = report.problems;
  if (report.policy != nullptr) {
    const std::vector<policy::Problem> unreachable = policy::FindUnreachable(*report.policy);
    problems.insert(problems.end(), unreachable.begin(), unreachable.end());
    std::stable_sort(problems.begin(), problems.end(),
                     [](const policy::Problem& a, const policy::Problem& b) { return a.line < b.line; });
  }
  for (const policy::Problem& problem : problems) {
    std::fprintf(stderr, "%s\n", Printable(policy::TextOf(problem, options.file)).c_str());
  }
  if (report.policy == nullptr) return kFailed;
  std::printf("%s: good, %zu rules\n", options.file.c_str(), report.policy->rules().size());
  return options.strict && !problems.empty() ? kFailed : kDone;
}

struct ExplainOptions {
  std::string identity;
  std::string action;
  std::string channel;
  std::string file;
  Output output = Output::kText;
};

std::string ActionsOf(const Rule& rule) {
  return absl::StrJoin(rule.actions, ", ",
                       [](std::string* out, policy::Action action) { absl::StrAppend(out, NameOf(action)); });
}

// In what respect the rule does not fit.
std::string WhyNot(const policy::NearMiss& miss) {
  if (!miss.principal_matches)
    return absl::StrCat("principals: ", absl::StrJoin(miss.rule->principals, ", "));
  if (!miss.action_matches) return absl::StrCat("actions: ", ActionsOf(*miss.rule));
  return absl::StrCat("channels: ", absl::StrJoin(miss.rule->channels, ", "));
}

void PrintText(const ExplainOptions& options, policy::Action action, const Explanation& explanation) {
  const Rule* const rule = explanation.decision.rule;
  const std::string identity = Printable(options.identity);
  if (rule == nullptr) {
    std::puts("DENIED: no rule matches");
  } else {
    absl::PrintF("%s by rule \"%s\" (%s:%d)\n", explanation.decision.allowed ? "ALLOWED" : "DENIED",
                 rule->name, options.file, rule->line);
  }
  const auto matches = [&](const std::string& pattern) {
    return rule == nullptr ? "" : absl::StrCat("  matches ", pattern);
  };
  absl::PrintF("  identity  %s%s\n", identity, matches(explanation.principal_pattern));
  absl::PrintF("  action    %s\n", NameOf(action));
  absl::PrintF("  channel   %s%s\n", options.channel.empty() ? "(the whole broker)" : options.channel,
               matches(explanation.channel_pattern));
  if (explanation.near_misses.empty()) return;
  std::puts(rule == nullptr ? "Rules that fit in all but one respect:"
                            : "Earlier rules that fit in all but one respect:");
  for (const policy::NearMiss& miss : explanation.near_misses) {
    absl::PrintF("  %s (line %d, %s) is for %s\n", miss.rule->name, miss.rule->line,
                 miss.rule->allows ? "allows" : "denies", Printable(WhyNot(miss)));
  }
}

ordered_json ToJson(const Rule& rule) { return {{"name", rule.name}, {"line", rule.line}}; }

void PrintJson(const ExplainOptions& options, policy::Action action, const Explanation& explanation) {
  ordered_json json = {{"allowed", explanation.decision.allowed},
                       {"identity", options.identity},
                       {"action", std::string(NameOf(action))},
                       {"channel", options.channel},
                       {"rule", nullptr}};
  if (explanation.decision.rule != nullptr) {
    json["rule"] = ToJson(*explanation.decision.rule);
    json["rule"]["principal"] = explanation.principal_pattern;
    json["rule"]["channel"] = explanation.channel_pattern;
  }
  json["near_misses"] = ordered_json::array();
  for (const policy::NearMiss& miss : explanation.near_misses) {
    ordered_json listed = ToJson(*miss.rule);
    listed["allows"] = miss.rule->allows;
    listed["differs_in"] = !miss.principal_matches ? "principals"
                           : !miss.action_matches  ? "actions"
                                                   : "channels";
    json["near_misses"].push_back(std::move(listed));
  }
  std::puts(json.dump(-1, ' ', false, ordered_json::error_handler_t::replace).c_str());
}

ExitCode Explain(const ExplainOptions& options) {
  const auto action = policy::ActionOf(options.action);
  if (!action.has_value()) {
    return Fail(kBadUsage,
                absl::StrCat("\"", options.action, "\" is no action; there are ", policy::ActionNames()));
  }
  if (!options.channel.empty() && !names::IsChannelName(options.channel)) {
    return Fail(kBadUsage,
                absl::StrCat("\"", options.channel, "\" is no channel's name: 1 to ", names::kMaxNameBytes,
                             " of [a-z0-9._-], or \"\" for the whole broker"));
  }
  const policy::PolicyReport report = policy::ReadPolicyFile(options.file);
  if (report.policy == nullptr) return Fail(kFailed, policy::TextOf(report.problems, options.file));
  const Explanation explanation = policy::Explain(*report.policy, options.identity, *action, options.channel);
  if (options.output == Output::kText) {
    PrintText(options, *action, explanation);
  } else {
    PrintJson(options, *action, explanation);
  }
  return explanation.decision.allowed ? kDone : kDenied;
}

void AddCheck(CLI::App& policy_verb, Action& chosen) {
  auto options = std::make_shared<CheckOptions>();
  CLI::App* verb =
      policy_verb.add_subcommand("check", "Say whether a policy file is good, and all that is wrong");
  verb->footer(kCheckHelp);
  verb->add_option("FILE", options->file, "The policy")->required()->type_name("");
  verb->add_flag("--strict", options->strict, "Warnings are failures");
  verb->callback([options, &chosen] { chosen = [options] { return Check(*options); }; });
}

void AddExplain(CLI::App& policy_verb, Action& chosen) {
  auto options = std::make_shared<ExplainOptions>();
  CLI::App* verb =
      policy_verb.add_subcommand("explain", "Say which rule allows or denies something, and why");
  verb->footer(kExplainHelp);
  verb->add_option("IDENTITY", options->identity, "Who")->required()->type_name("");
  verb->add_option("ACTION", options->action, policy::ActionNames())->required()->type_name("");
  verb->add_option("CHANNEL", options->channel, "A channel's name, or \"\"")->required()->type_name("");
  verb->add_option("--policy", options->file, "The policy")->required()->type_name("FILE");
  AddOutput(*verb, options->output);
  verb->callback([options, &chosen] { chosen = [options] { return Explain(*options); }; });
}

}  // namespace

void AddPolicy(CLI::App& app, Action& chosen) {
  CLI::App* verb = app.add_subcommand("policy", "Check a broker's policy file, and explain what it decides");
  verb->require_subcommand(1);
  AddCheck(*verb, chosen);
  AddExplain(*verb, chosen);
}

}  // namespace pylabhub::cli
