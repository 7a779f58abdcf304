#include "proto/policy/policy_file.h"

#include <fcntl.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "proto/names/name_pattern.h"
#include "proto/policy/policy.pb.h"

namespace pylabhub::policy {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::TextFormat;
using Places = TextFormat::ParseInfoTree;

static_assert(file::Action_ARRAYSIZE == kActionCount + 1);
static_assert(static_cast<int>(Action::kRegister) + 1 == file::REGISTER);
static_assert(static_cast<int>(Action::kForce) + 1 == file::FORCE);

constexpr off_t kMaxFileBytes = off_t{4} << 20;
constexpr size_t kMaxRuleNameBytes = 64;
// As of an identity (proto/tls/identity.h).
constexpr size_t kMaxIdentityBytes = 2048;
constexpr absl::string_view kSpiffeScheme = "spiffe://";

std::string FieldNames(const Descriptor& message) {
  std::vector<std::string> names;
  for (int i = 0; i < message.field_count(); ++i) names.push_back(message.field(i)->name());
  return absl::StrJoin(names, ", ");
}

// What protobuf leaves out of its messages: what would have been right.
std::string Hint(absl::string_view message) {
  for (const Descriptor* candidate : {file::Policy::descriptor(), file::Rule::descriptor()}) {
    if (absl::StrContains(message, absl::StrCat("\"", candidate->full_name(), "\" has no field"))) {
      return absl::StrCat(" Allowed here: ", FieldNames(*candidate), ".");
    }
  }
  if (absl::StrContains(message, "for field \"actions\"")) {
    return absl::StrCat(" Allowed here: ", ActionNames(), ".");
  }
  if (absl::StrContains(message, "for field \"effect\"")) return " Allowed here: ALLOW, DENY.";
  return "";
}

class SyntaxErrors final : public google::protobuf::io::ErrorCollector {
 public:
  explicit SyntaxErrors(std::vector<Problem>& problems) : problems_(problems) {}

  // `line` and `column` count from 0; -1: no place in particular.
  void AddError(int line, google::protobuf::io::ColumnNumber column, const std::string& message) override {
    problems_.push_back(
        {.line = line + 1, .column = column + 1, .message = absl::StrCat(message, Hint(message))});
  }

 private:
  std::vector<Problem>& problems_;
};

bool IsRuleName(absl::string_view name) {
  return !name.empty() && name.size() <= kMaxRuleNameBytes &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-'; });
}

// Why no identity matches the pattern; empty if one may.
std::string WhyNobodyMatches(absl::string_view pattern) {
  if (pattern.empty()) return "is empty, and nobody's identity is";
  const auto least_bytes =
      static_cast<size_t>(pattern.size() - std::count(pattern.begin(), pattern.end(), '*'));
  if (least_bytes > kMaxIdentityBytes) {
    return absl::StrCat("is longer than an identity, which has at most ", kMaxIdentityBytes, " bytes");
  }
  if (std::any_of(pattern.begin(), pattern.end(), [](unsigned char c) { return absl::ascii_iscntrl(c); })) {
    return "holds a control character, which no identity does";
  }
  const size_t colon = pattern.find("://");
  const absl::string_view scheme = pattern.substr(0, colon == absl::string_view::npos ? 0 : colon);
  if (!scheme.empty() && names::IsExactPattern(scheme) && !absl::EqualsIgnoreCase(scheme, "spiffe")) {
    return absl::StrCat("matches nobody: of URIs only those that begin with \"", kSpiffeScheme,
                        "\" are identities");
  }
  return "";
}

// What is allowed, and perhaps not what was meant; empty if nothing.
std::string WhatIsOddAbout(absl::string_view pattern) {
  if (absl::ascii_isspace(pattern.front()) || absl::ascii_isspace(pattern.back())) {
    return "begins or ends with a space, which few identities do";
  }
  if (!absl::StartsWithIgnoreCase(pattern, kSpiffeScheme)) return "";
  const absl::string_view domain =
      pattern.substr(kSpiffeScheme.size(), pattern.find('/', kSpiffeScheme.size()) - kSpiffeScheme.size());
  if (names::IsExactPattern(domain)) return "";
  return absl::StrCat("has a wildcard in its trust domain, \"", domain,
                      "\", and so matches other domains too that are spelt alike; is a \"/\" missing?");
}

// Reads one rule, and says what is wrong with it.
class RuleReader {
 public:
  RuleReader(const file::Rule& from, const Places* places, std::vector<Problem>& problems)
      : from_(from), places_(places), problems_(problems) {}

  Rule Read(int line) {
    rule_.line = line;
    ReadName();
    ReadPrincipals();
    ReadActions();
    ReadChannels();
    if (!file::Effect_IsValid(from_.effect())) Add("effect", -1, "must be ALLOW or DENY");
    rule_.allows = from_.effect() == file::ALLOW;
    return std::move(rule_);
  }

  // `index`: of a repeated field's value, or -1. A field that is not there stands where the rule does.
  void Add(const char* field, int index, const std::string& message, bool is_warning = false) {
    TextFormat::ParseLocation place(-1, -1);
    const FieldDescriptor& of_field = *file::Rule::descriptor()->FindFieldByName(field);
    // Protobuf ends the process when it is asked for a value that a repeated field does not have.
    if (places_ != nullptr && (index >= 0 || !of_field.is_repeated()))
      place = places_->GetLocation(&of_field, index);
    const std::string of = from_.name().empty() ? "" : absl::StrCat("rule \"", from_.name(), "\": ");
    problems_.push_back({.line = place.line < 0 ? rule_.line : place.line + 1,
                         .column = place.line < 0 ? 1 : place.column + 1,
                         .is_warning = is_warning,
                         .message = absl::StrCat(of, field, ": ", message)});
  }

 private:
  void ReadName() {
    rule_.name = from_.name();
    if (!IsRuleName(rule_.name)) {
      Add("name", -1, "every rule needs one, 1 to 64 of [A-Za-z0-9._-], by which the log names it");
    }
  }

  void ReadPrincipals() {
    rule_.principals = {from_.principals().begin(), from_.principals().end()};
    if (rule_.principals.empty()) {
      Add("principals", -1, "at least one is needed; \"*\" is everybody who has a certificate");
    }
    for (int i = 0; i < from_.principals_size(); ++i) {
      const std::string& pattern = from_.principals(i);
      const std::string why = WhyNobodyMatches(pattern);
      if (!why.empty()) {
        Add("principals", i, absl::StrCat("\"", absl::string_view(pattern).substr(0, 100), "\" ", why));
      } else if (const std::string odd = WhatIsOddAbout(pattern); !odd.empty()) {
        Add("principals", i, absl::StrCat("\"", pattern, "\" ", odd), /*is_warning=*/true);
      }
    }
  }

  void ReadActions() {
    if (from_.actions_size() == 0) {
      Add("actions", -1, absl::StrCat("at least one is needed: ", ActionNames()));
    }
    std::set<int> seen;
    for (int i = 0; i < from_.actions_size(); ++i) {
      const int action = from_.actions(i);
      if (!file::Action_IsValid(action) || action == file::ACTION_UNSPECIFIED) {
        Add("actions", i, absl::StrCat("must be one of ", ActionNames()));
      } else if (!seen.insert(action).second) {
        Add("actions", i, "stands here twice", /*is_warning=*/true);
      } else {
        rule_.actions.push_back(static_cast<Action>(action - 1));
      }
    }
  }

  void ReadChannels() {
    rule_.channels = {from_.channels().begin(), from_.channels().end()};
    if (rule_.channels.empty()) Add("channels", -1, "at least one is needed; \"*\" is every channel");
    for (int i = 0; i < from_.channels_size(); ++i) {
      if (names::IsNamePattern(from_.channels(i))) continue;
      Add("channels", i,
          absl::StrCat("\"", from_.channels(i).substr(0, 100), "\" must be 1 to ", names::kMaxNameBytes,
                       " of [a-z0-9._*?-], for instance \"camera.*\""));
    }
  }

  const file::Rule& from_;
  const Places* const places_;
  std::vector<Problem>& problems_;
  Rule rule_;
};

std::vector<Rule> ReadRules(const file::Policy& from, const Places& places, std::vector<Problem>& problems) {
  const FieldDescriptor& field = *file::Policy::descriptor()->FindFieldByName("rules");
  std::vector<Rule> rules;
  std::map<std::string, int> line_of_name;
  for (int i = 0; i < from.rules_size(); ++i) {
    RuleReader reader(from.rules(i), places.GetTreeForNested(&field, i), problems);
    rules.push_back(reader.Read(places.GetLocation(&field, i).line + 1));
    const auto [first, is_new] = line_of_name.emplace(rules.back().name, rules.back().line);
    if (!is_new && !rules.back().name.empty()) {
      reader.Add("name", -1, absl::StrCat("the rule in line ", first->second, " is called so already"));
    }
  }
  if (rules.empty()) {
    problems.push_back({.message = "there is no rule in it, so that everything would be denied to everybody; "
                                   "if that is meant, say so with a rule whose effect is DENY"});
  }
  return rules;
}

// What tells one state of a file from another.
auto StateOf(const struct stat& status) {
  return std::tuple(status.st_ino, status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
}

absl::Status CannotRead(const std::string& path) {
  const std::string message = absl::StrCat(path, ": cannot be read: ", std::strerror(errno));
  return errno == ENOENT ? absl::NotFoundError(message) : absl::UnavailableError(message);
}

}  // namespace

std::string TextOf(const Problem& problem, absl::string_view file_name) {
  const std::string place = problem.line == 0 ? "" : absl::StrCat(problem.line, ":", problem.column, ":");
  return absl::StrCat(file_name, ":", place, problem.is_warning ? " warning: " : " ", problem.message);
}

std::string TextOf(const std::vector<Problem>& problems, absl::string_view file_name) {
  return absl::StrJoin(problems, "\n", [&](std::string* out, const Problem& problem) {
    absl::StrAppend(out, TextOf(problem, file_name));
  });
}

PolicyReport ReadPolicy(absl::string_view text) {
  PolicyReport report;
  SyntaxErrors errors(report.problems);
  Places places;
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&errors);
  parser.WriteLocationsTo(&places);
  file::Policy from;
  if (!parser.ParseFromString(std::string(text), &from)) return report;

  std::vector<Rule> rules = ReadRules(from, places, report.problems);
  std::stable_sort(report.problems.begin(), report.problems.end(), [](const Problem& a, const Problem& b) {
    return std::pair(a.line, a.column) < std::pair(b.line, b.column);
  });
  const bool is_good = std::all_of(report.problems.begin(), report.problems.end(),
                                   [](const Problem& problem) { return problem.is_warning; });
  if (is_good) report.policy = std::make_shared<const Policy>(std::move(rules));
  return report;
}

absl::StatusOr<std::string> ReadPolicyText(const std::string& path) {
  // Not to wait for a writer, should the path be a pipe's.
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) return CannotRead(path);
  const absl::Cleanup close_it = [descriptor] { close(descriptor); };
  struct stat before = {};
  if (fstat(descriptor, &before) != 0) return CannotRead(path);
  if (!S_ISREG(before.st_mode)) return absl::UnavailableError(absl::StrCat(path, ": is no file"));
  if (before.st_size > kMaxFileBytes) {
    return absl::OutOfRangeError(absl::StrCat(path, ": is larger than ", kMaxFileBytes, " bytes"));
  }
  std::string text;
  std::array<char, 65'536> buffer;
  while (text.size() <= static_cast<size_t>(before.st_size)) {
    const ssize_t bytes = read(descriptor, buffer.data(), buffer.size());
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes < 0) return CannotRead(path);
    if (bytes == 0) break;
    text.append(buffer.data(), static_cast<size_t>(bytes));
  }
  struct stat after = {};
  if (fstat(descriptor, &after) != 0) return CannotRead(path);
  if (StateOf(before) != StateOf(after) || text.size() != static_cast<size_t>(before.st_size)) {
    return absl::AbortedError(absl::StrCat(path, ": changed while it was read"));
  }
  return text;
}

PolicyReport ReadPolicyFile(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadPolicyText(path);
  if (text.ok()) return ReadPolicy(*text);
  // The message names the file, as TextOf will.
  absl::string_view message = text.status().message();
  message.remove_prefix(std::min(message.size(), path.size() + 2));
  return {.problems = {{.message = std::string(message)}}};
}

}  // namespace pylabhub::policy
