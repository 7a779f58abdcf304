#include "client/cli/completion.h"

#include <cstdio>
#include <map>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/cli/completion_script.h"
#include "client/cli/exit_code.h"

namespace pylabhub::cli {
namespace {

constexpr char kHelp[] = R"(
Examples:
  source <(pylabhub completion bash)
  pylabhub completion bash > ~/.local/share/bash-completion/completions/pylabhub
  pylabhub completion zsh > ~/.zfunc/_pylabhub
  pylabhub completion fish > ~/.config/fish/completions/pylabhub.fish
)";

}  // namespace

void AddCompletion(CLI::App& app, Action& chosen) {
  auto shell = std::make_shared<Shell>(Shell::kBash);
  CLI::App* verb =
      app.add_subcommand("completion", "Print what makes a shell complete this tool's verbs and flags");
  verb->footer(absl::StrCat(kHelp, "\n", kExitCodeHelp));
  const std::map<std::string, Shell> shells = {
      {"bash", Shell::kBash}, {"zsh", Shell::kZsh}, {"fish", Shell::kFish}};
  verb->add_option("SHELL", *shell, "Which shell")
      ->required()
      ->transform(OneOf(shells))
      ->type_name("bash|zsh|fish");
  verb->callback([shell, &app, &chosen] {
    chosen = [shell, &app] {
      std::fputs(CompletionScript(app, *shell).c_str(), stdout);
      return kDone;
    };
  });
}

}  // namespace pylabhub::cli
