#include "client/cli/completion_script.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"

namespace pylabhub::cli {
namespace {

// What stands for one word of the command line.
enum class Kind { kNothing, kWords, kFile, kFolder, kChannel };

struct Place {
  std::vector<std::string> flags = {};  // "--output", "-n"; none for a word that has no flag
  std::string help = {};
  bool takes_value = false;
  Kind kind = Kind::kNothing;
  std::vector<std::string> words = {};  // of kWords
};

struct Verb {
  std::string path = {};  // "pylabhub schema list"
  std::string help = {};
  std::vector<std::string> verbs = {};  // below it
  std::vector<Place> options = {};
  std::vector<Place> positionals = {};
};

Place PlaceOf(const CLI::Option& option) {
  Place place{.help = option.get_description(), .takes_value = option.get_items_expected_max() > 0};
  for (const std::string& name : option.get_lnames()) place.flags.push_back(absl::StrCat("--", name));
  for (const std::string& name : option.get_snames()) place.flags.push_back(absl::StrCat("-", name));
  const std::string type = option.get_type_name();
  const std::string& name = option.get_single_name();
  if (absl::StrContains(type, "|")) {
    place.kind = Kind::kWords;
    place.words = absl::StrSplit(type, '|');
  } else if (name == "CHANNEL") {
    place.kind = Kind::kChannel;
  } else if (type == "FILE" || name == "FILE" || name == "PATH") {
    place.kind = Kind::kFile;
  } else if (type == "DIR" || name == "DIR") {
    place.kind = Kind::kFolder;
  }
  return place;
}

std::vector<const CLI::App*> Below(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App* verb) { return !verb->get_name().empty(); });
}

void Collect(const CLI::App& app, const std::string& path, std::vector<Verb>& verbs) {
  Verb verb{.path = path, .help = app.get_description()};
  for (const CLI::App* below : Below(app)) verb.verbs.push_back(below->get_name());
  for (const CLI::Option* option : app.get_options()) {
    (option->get_positional() ? verb.positionals : verb.options).push_back(PlaceOf(*option));
  }
  verbs.push_back(std::move(verb));
  for (const CLI::App* below : Below(app)) Collect(*below, absl::StrCat(path, " ", below->get_name()), verbs);
}

std::vector<std::string> FlagsOf(const Verb& verb) {
  std::vector<std::string> flags;
  for (const Place& option : verb.options)
    flags.insert(flags.end(), option.flags.begin(), option.flags.end());
  return flags;
}

// "a|b" as patterns of a shell's case: each in quotes.
std::string Patterns(const std::vector<std::string>& texts) {
  const auto quote = [](std::string* out, const std::string& text) { absl::StrAppend(out, "'", text, "'"); };
  return absl::StrJoin(texts, "|", quote);
}

constexpr char kChannels[] =
    "pylabhub channels --output json 2>/dev/null | sed -n 's/^{\"channel\":\"\\([^\"]*\\)\".*/\\1/p'";

// What bash and zsh differ in.
struct Dialect {
  const char* begin;
  const char* end;
  std::string (*offer)(Kind kind, const std::vector<std::string>& words);
};

std::string OfferInBash(Kind kind, const std::vector<std::string>& words) {
  switch (kind) {
    case Kind::kNothing:
      return ":";
    case Kind::kWords:
      return absl::StrCat("COMPREPLY=($(compgen -W '", absl::StrJoin(words, " "), "' -- \"$word\"))");
    case Kind::kFile:
      return "compopt -o filenames; COMPREPLY=($(compgen -f -- \"$word\"))";
    case Kind::kFolder:
      return "compopt -o filenames; COMPREPLY=($(compgen -d -- \"$word\"))";
    case Kind::kChannel:
      return absl::StrCat("COMPREPLY=($(compgen -W \"$(", kChannels, ")\" -- \"$word\"))");
  }
  return ":";
}

std::string OfferInZsh(Kind kind, const std::vector<std::string>& words) {
  switch (kind) {
    case Kind::kNothing:
      return ":";
    case Kind::kWords:
      return absl::StrCat("compadd -- ", absl::StrJoin(words, " "));
    case Kind::kFile:
      return "_files";
    case Kind::kFolder:
      return "_files -/";
    case Kind::kChannel:
      return absl::StrCat("compadd -- $(", kChannels, ")");
  }
  return ":";
}

constexpr char kBashBegin[] = R"(# bash completion for pylabhub: source <(pylabhub completion bash)
_pylabhub() {
  local word=${COMP_WORDS[COMP_CWORD]} last=${COMP_WORDS[COMP_CWORD-1]} verb=pylabhub i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; ++i)); do
    case "$verb ${COMP_WORDS[i]}" in
)";

constexpr char kBashEnd[] = R"(}
complete -F _pylabhub pylabhub
)";

constexpr char kZshBegin[] = R"(#compdef pylabhub
# zsh completion for pylabhub: source <(pylabhub completion zsh)
_pylabhub() {
  local word=${words[CURRENT]} last=${words[CURRENT-1]} verb=pylabhub i
  for ((i = 2; i < CURRENT; ++i)); do
    case "$verb ${words[i]}" in
)";

// From a folder of functions zsh runs this text as the function itself.
constexpr char kZshEnd[] = R"(}
if [ "${funcstack[1]}" = _pylabhub ]; then _pylabhub "$@"; else compdef _pylabhub pylabhub; fi
)";

// A case for each flag that takes a value, then one for each verb.
std::string Script(const std::vector<Verb>& verbs, const Dialect& dialect) {
  std::vector<std::string> paths;
  for (const Verb& verb : verbs) paths.push_back(verb.path);
  std::string script =
      absl::StrCat(dialect.begin, "      ", Patterns(paths), ") verb=\"$verb ",
                   absl::StrContains(dialect.begin, "COMP_WORDS") ? "${COMP_WORDS[i]}" : "${words[i]}",
                   "\" ;;\n    esac\n  done\n  case \"$verb $last\" in\n");
  for (const Verb& verb : verbs) {
    for (const Place& option : verb.options) {
      if (!option.takes_value) continue;
      std::vector<std::string> patterns;
      for (const std::string& flag : option.flags) patterns.push_back(absl::StrCat(verb.path, " ", flag));
      absl::StrAppend(&script, "    ", Patterns(patterns), ") ", dialect.offer(option.kind, option.words),
                      "; return ;;\n");
    }
  }
  absl::StrAppend(&script, "  esac\n  case \"$verb:$word\" in\n");
  for (const Verb& verb : verbs) {
    absl::StrAppend(&script, "    '", verb.path, ":-'*) ", dialect.offer(Kind::kWords, FlagsOf(verb)),
                    " ;;\n");
    if (!verb.verbs.empty()) {
      absl::StrAppend(&script, "    '", verb.path, ":'*) ", dialect.offer(Kind::kWords, verb.verbs), " ;;\n");
    } else if (!verb.positionals.empty()) {
      const Place& first = verb.positionals.front();
      absl::StrAppend(&script, "    '", verb.path, ":'*) ", dialect.offer(first.kind, first.words), " ;;\n");
    }
  }
  return absl::StrCat(script, "  esac\n", dialect.end);
}

std::string InFishQuotes(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"'", "\\'"}}), "'");
}

std::string OfferInFish(const Place& place) {
  switch (place.kind) {
    case Kind::kWords:
      return absl::StrCat(" -x -a ", InFishQuotes(absl::StrJoin(place.words, " ")));
    case Kind::kFile:
      return " -r -F";
    case Kind::kFolder:
      return " -x -a '(__fish_complete_directories)'";
    case Kind::kChannel:
      return absl::StrCat(" -x -a ", InFishQuotes(absl::StrCat("(", kChannels, ")")));
    case Kind::kNothing:
      break;
  }
  return place.takes_value ? " -x" : "";
}

// Whether the words so far are this verb, and no verb below it.
std::string FishCondition(const Verb& verb) {
  std::vector<std::string> words = absl::StrSplit(verb.path, ' ');
  std::vector<std::string> tests;
  for (size_t i = 1; i < words.size(); ++i) {
    tests.push_back(absl::StrCat("__fish_seen_subcommand_from ", words[i]));
  }
  if (!verb.verbs.empty()) {
    tests.push_back(absl::StrCat("not __fish_seen_subcommand_from ", absl::StrJoin(verb.verbs, " ")));
  }
  return absl::StrCat(" -n '", absl::StrJoin(tests, "; and "), "'");
}

std::string FishScript(const std::vector<Verb>& verbs) {
  std::string script =
      "# fish completion for pylabhub: pylabhub completion fish | source\ncomplete -c pylabhub -f\n";
  for (const Verb& verb : verbs) {
    const std::string begin = absl::StrCat("complete -c pylabhub", FishCondition(verb));
    for (const std::string& below : verb.verbs) {
      const auto is_it = [&](const Verb& other) { return other.path == absl::StrCat(verb.path, " ", below); };
      const auto found = std::find_if(verbs.begin(), verbs.end(), is_it);
      absl::StrAppend(&script, begin, " -a ", below, " -d ", InFishQuotes(found->help), "\n");
    }
    for (const Place& option : verb.options) {
      absl::StrAppend(&script, begin);
      for (const std::string& flag : option.flags) {
        absl::StrAppend(&script, absl::StartsWith(flag, "--") ? " -l " : " -s ",
                        flag.substr(flag.rfind('-', 1) + 1));
      }
      absl::StrAppend(&script, OfferInFish(option), " -d ", InFishQuotes(option.help), "\n");
    }
    if (!verb.positionals.empty() && verb.positionals.front().kind != Kind::kNothing) {
      absl::StrAppend(&script, begin, OfferInFish(verb.positionals.front()), "\n");
    }
  }
  return script;
}

}  // namespace

std::string CompletionScript(const CLI::App& app, Shell shell) {
  std::vector<Verb> verbs;
  Collect(app, app.get_name(), verbs);
  switch (shell) {
    case Shell::kBash:
      return Script(verbs, {.begin = kBashBegin, .end = kBashEnd, .offer = OfferInBash});
    case Shell::kZsh:
      return Script(verbs, {.begin = kZshBegin, .end = kZshEnd, .offer = OfferInZsh});
    case Shell::kFish:
      break;
  }
  return FishScript(verbs);
}

}  // namespace pylabhub::cli
