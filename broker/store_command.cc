#include "broker/store_command.h"

#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "broker/flags.h"
#include "broker/store/maintenance.h"

namespace pylabhub::broker {
namespace {

int Fail(const absl::Status& status) {
  std::cerr << "error: " << status.message() << std::endl;
  return 1;
}

int BackUp(const std::string& folder, const std::string& file) {
  if (absl::Status status = BackUpStore(folder, file); !status.ok()) return Fail(status);
  std::cout << "backed up to " << file << std::endl;
  return 0;
}

int Restore(const std::string& folder, const std::string& file) {
  const absl::StatusOr<std::string> aside = RestoreStore(folder, file, absl::Now());
  if (!aside.ok()) return Fail(aside.status());
  std::cout << "restored from " << file;
  if (!aside->empty()) std::cout << "; what was there is now " << *aside;
  std::cout << std::endl;
  return 0;
}

int Check(const std::string& folder) {
  const absl::StatusOr<StoreReport> report = CheckStore(folder);
  if (!report.ok()) return Fail(report.status());
  std::cout << "sessions " << report->sessions << "\nchannels " << report->channels << "\nconsumers "
            << report->consumers << "\nother records " << report->other_records << "\nhistory "
            << report->history.history_id << "\nepochs up to " << report->history.epoch_limit
            << "\nrevisions up to " << report->history.revision_limit << std::endl;
  if (!report->damage.empty()) {
    return Fail(absl::DataLossError(
        report->damage + "; restore a backup: pylabhub-broker restore --state-dir " + folder + " BACKUP"));
  }
  std::cout << "sound" << std::endl;
  return 0;
}

}  // namespace

std::optional<int> RunStoreCommand(int argc, char** argv) {
  const absl::string_view verb = argc > 1 ? argv[1] : "";
  if (verb != "backup" && verb != "restore" && verb != "store") return std::nullopt;
  umask(077);
  std::string folder = DefaultStateDir();
  std::string file;
  CLI::App app("Looks after the store of a broker.", "pylabhub-broker");
  app.require_subcommand(1);
  auto* backup = app.add_subcommand("backup", "Copy the store to FILE, also while the broker runs");
  auto* restore =
      app.add_subcommand("restore", "Put FILE in the place of the store of a broker that is stopped");
  auto* store = app.add_subcommand("store", "Look at the store");
  store->require_subcommand(1);
  auto* check =
      store->add_subcommand("check", "Read everything and say whether it is sound; changes nothing");
  for (CLI::App* command : {backup, restore, check}) {
    command->add_option("--state-dir", folder, "Folder that the store is in")
        ->type_name("DIR")
        ->capture_default_str();
  }
  for (CLI::App* command : {backup, restore}) command->add_option("FILE", file, "The copy")->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (*backup) return BackUp(folder, file);
  if (*restore) return Restore(folder, file);
  return Check(folder);
}

}  // namespace pylabhub::broker
