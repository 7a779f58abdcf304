// Lines on standard output, for people and for programs.
#pragma once

#include <nlohmann/json.hpp>

#include "absl/strings/string_view.h"
#include "client/cli/table.h"

namespace pylabhub::cli {

void PrintLine(absl::string_view line);

// One object on one line. Text that is not UTF-8 has its bad bytes replaced.
void PrintObject(const nlohmann::ordered_json& json);

void PrintTable(const Table& table);

// Shows what was printed, now: for verbs that go on. False if whoever read the output is gone (`| head`), which is no
// failure, or if it cannot be written: then go on no more.
bool Flush();

}  // namespace pylabhub::cli
