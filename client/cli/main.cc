// The `pylabhub` tool. One file for each verb; this one reads the command line and runs the verb that it
// names.
#include <CLI/CLI.hpp>

#include "client/cli/arguments.h"
#include "client/cli/bench.h"
#include "client/cli/certs.h"
#include "client/cli/channels.h"
#include "client/cli/completion.h"
#include "client/cli/describe.h"
#include "client/cli/doctor.h"
#include "client/cli/exit_code.h"
#include "client/cli/plot.h"
#include "client/cli/policy.h"
#include "client/cli/profile.h"
#include "client/cli/publish.h"
#include "client/cli/record.h"
#include "client/cli/replay.h"
#include "client/cli/schema.h"
#include "client/cli/stats.h"
#include "client/cli/tail.h"
#include "client/cli/terminal.h"
#include "client/cli/tls.h"
#include "client/cli/top.h"
#include "client/cli/watch.h"

// NOLINTNEXTLINE(bugprone-exception-escape): a wrong definition of a flag, which is ours, may end the program
int main(int argc, char** argv) {
  CLI::App app("pylabhub: named, typed, secured shared-memory channels between processes", "pylabhub");
  app.require_subcommand(1);
  app.footer(std::string("`pylabhub VERB --help` shows a verb's options and examples.\n\n") +
             pylabhub::cli::kExitCodeHelp);
  pylabhub::cli::Action chosen;
  pylabhub::cli::AddPublish(app, chosen);
  pylabhub::cli::AddTail(app, chosen);
  pylabhub::cli::AddRecord(app, chosen);
  pylabhub::cli::AddReplay(app, chosen);
  pylabhub::cli::AddChannels(app, chosen);
  pylabhub::cli::AddDescribe(app, chosen);
  pylabhub::cli::AddStats(app, chosen);
  pylabhub::cli::AddTop(app, chosen);
  pylabhub::cli::AddPlot(app, chosen);
  pylabhub::cli::AddWatch(app, chosen);
  pylabhub::cli::AddSchema(app, chosen);
  pylabhub::cli::AddDoctor(app, chosen);
  pylabhub::cli::AddCerts(app, chosen);
  pylabhub::cli::AddTls(app, chosen);
  pylabhub::cli::AddPolicy(app, chosen);
  pylabhub::cli::AddBench(app, chosen);
  pylabhub::cli::AddCompletion(app, chosen);
  pylabhub::cli::AddProfileOption(app);
  pylabhub::cli::AddProfile(app, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // What is no verb is left over when one is missed.
    if (const std::vector<std::string> words = app.remaining(); !words.empty()) {
      return pylabhub::cli::Fail(pylabhub::cli::kBadUsage,
                                 "there is no '" + words[0] + "'; `pylabhub --help` lists the verbs");
    }
    // --help is an "error" of CLI11's with code 0.
    return app.exit(error) == 0 ? pylabhub::cli::kDone : pylabhub::cli::kBadUsage;
  }
  if (const absl::Status status = pylabhub::cli::ApplyProfile(app); !status.ok()) {
    return pylabhub::cli::Fail(status);
  }
  return chosen();
}
