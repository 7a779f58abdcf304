#include "client/cli/profile.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "client/cli/exit_code.h"
#include "client/cli/print.h"
#include "client/cli/profile_file.h"
#include "client/cli/terminal.h"
#include "client/cli/text_file.h"

namespace pylabhub::cli {
namespace {

using nlohmann::ordered_json;

constexpr char kFlag[] = "--profile";
constexpr char kVariable[] = "PYLABHUB_PROFILE";

constexpr char kHelp[] = R"(
Profiles are kept in ~/.config/pylabhub/profiles:

  [lab7]
  broker = lab7.example.org:5570
  certs = ~/lab7-certs

What is before the first [NAME], or under [default], counts where no profile is named. A flag beats the environment
(PYLABHUB_BROKER, PYLABHUB_CERTS, PYLABHUB_DIRECTORY), which beats the profile (--profile NAME or PYLABHUB_PROFILE).

Examples:
  pylabhub profile list
  pylabhub profile show lab7
  pylabhub channels --profile lab7
)";

struct ProfileOptions {
  std::string name;
  Output output = Output::kText;
};

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// None if there is no such file.
absl::StatusOr<std::vector<Profile>> ReadProfiles() {
  const std::string path = ProfilesPath();
  const absl::StatusOr<std::string> text = ReadTextFile(path);
  if (absl::IsNotFound(text.status())) return std::vector<Profile>();
  if (!text.ok()) return text.status();
  return ParseProfiles(*text, path, Environment("HOME"));
}

// An empty name stands for the default profile, which need not exist.
absl::StatusOr<Profile> FindProfile(const std::string& name) {
  const absl::StatusOr<std::vector<Profile>> profiles = ReadProfiles();
  if (!profiles.ok()) return profiles.status();
  const std::string wanted = name.empty() ? kDefaultProfile : name;
  for (const Profile& profile : *profiles) {
    if (profile.name == wanted) return profile;
  }
  if (name.empty()) return Profile{.name = kDefaultProfile};
  return absl::InvalidArgumentError(absl::StrCat("there is no profile '", name, "' in ", ProfilesPath(),
                                                 "; `pylabhub profile list` shows those that there are"));
}

std::vector<CLI::App*> VerbsBelow(CLI::App& app) {
  std::vector<CLI::App*> verbs;
  for (CLI::App* verb : app.get_subcommands([](CLI::App*) { return true; })) {
    verbs.push_back(verb);
    for (CLI::App* below : VerbsBelow(*verb)) verbs.push_back(below);
  }
  return verbs;
}

bool HasSetting(CLI::App& verb) {
  const std::vector<std::string>& keys = ProfileKeys();
  return std::any_of(keys.begin(), keys.end(), [&](const std::string& key) {
    return verb.get_option_no_throw(absl::StrCat("--", key)) != nullptr;
  });
}

absl::Status Apply(const Profile& profile, CLI::App& verb) {
  for (const auto& [key, value] : profile.settings) {
    CLI::Option* option = verb.get_option_no_throw(absl::StrCat("--", key));
    if (option == nullptr || option->count() > 0) continue;
    try {
      option->add_result(value);
      option->run_callback();
    } catch (const CLI::Error& error) {
      return absl::InvalidArgumentError(
          absl::StrCat(ProfilesPath(), ": [", profile.name, "] ", key, " = ", value, ": ", error.what()));
    }
  }
  return absl::OkStatus();
}

ExitCode List(const ProfileOptions& options) {
  const absl::StatusOr<std::vector<Profile>> profiles = ReadProfiles();
  if (!profiles.ok()) return Fail(profiles.status());
  Table table({{"PROFILE"}, {"BROKER"}, {"CERTS"}, {"DIRECTORY"}, {"OUTPUT"}});
  for (Profile profile : *profiles) {
    if (options.output == Output::kJson) {
      ordered_json json = {{"profile", profile.name}};
      for (const auto& [key, value] : profile.settings) json[key] = value;
      PrintObject(json);
    }
    std::vector<std::string> cells = {profile.name};
    for (const std::string& key : ProfileKeys()) cells.push_back(profile.settings[key]);
    table.AddRow(std::move(cells));
  }
  if (options.output == Output::kText) PrintTable(table);
  return kDone;
}

// What counts for a verb that is given no flag, and where it comes from.
ExitCode Show(const ProfileOptions& options) {
  const absl::StatusOr<Profile> profile =
      FindProfile(options.name.empty() ? Environment(kVariable) : options.name);
  if (!profile.ok()) return Fail(profile.status());
  Table table({{"SETTING"}, {"VALUE"}, {"FROM"}});
  for (const std::string& key : ProfileKeys()) {
    const std::string variable = absl::StrCat("PYLABHUB_", absl::AsciiStrToUpper(key));
    const auto set = profile->settings.find(key);
    std::string value = key == "output" ? "" : Environment(variable.c_str());
    std::string from = value.empty() ? "" : variable;
    if (value.empty() && set != profile->settings.end()) {
      value = set->second;
      from = absl::StrCat("profile ", profile->name);
    }
    if (options.output == Output::kJson) {
      PrintObject({{"setting", key}, {"value", value}, {"from", from}});
    } else {
      table.AddRow({key, value, from});
    }
  }
  if (options.output == Output::kText) PrintTable(table);
  return kDone;
}

}  // namespace

std::string ProfilesPath() {
  const std::string folder = Environment("XDG_CONFIG_HOME");
  return absl::StrCat(folder.empty() ? absl::StrCat(Environment("HOME"), "/.config") : folder,
                      "/pylabhub/profiles");
}

void AddProfileOption(CLI::App& app) {
  for (CLI::App* verb : VerbsBelow(app)) {
    if (!HasSetting(*verb) || verb->get_option_no_throw(kFlag) != nullptr) continue;
    verb->add_option(kFlag, "Take what is not said here from this profile; see `pylabhub profile --help`")
        ->envname(kVariable)
        ->type_name("NAME");
  }
}

absl::Status ApplyProfile(CLI::App& app) {
  CLI::App* verb = &app;
  while (!verb->get_subcommands().empty()) verb = verb->get_subcommands().front();
  const CLI::Option* chosen = verb->get_option_no_throw(kFlag);
  if (chosen == nullptr) return absl::OkStatus();
  const absl::StatusOr<Profile> profile = FindProfile(chosen->count() > 0 ? chosen->as<std::string>() : "");
  if (!profile.ok()) return profile.status();
  return Apply(*profile, *verb);
}

void AddProfile(CLI::App& app, Action& chosen) {
  CLI::App* verb = app.add_subcommand("profile", "Connection profiles: list, show");
  verb->require_subcommand(1);
  verb->footer(absl::StrCat(kHelp, "\n", kExitCodeHelp));
  auto options = std::make_shared<ProfileOptions>();
  CLI::App* list = verb->add_subcommand("list", "The profiles that there are");
  list->callback([options, &chosen] { chosen = [options] { return List(*options); }; });
  CLI::App* show =
      verb->add_subcommand("show", "What counts where no flag says otherwise, and where it comes from");
  show->add_option("NAME", options->name, "A profile; without it the one that would be used")->type_name("");
  show->callback([options, &chosen] { chosen = [options] { return Show(*options); }; });
  for (CLI::App* action : {list, show}) {
    AddOutput(*action, options->output);
    action->footer(absl::StrCat(kHelp, "\n", kExitCodeHelp));
  }
}

}  // namespace pylabhub::cli
