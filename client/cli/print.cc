#include "client/cli/print.h"

#include <cstdio>
#include <string>

namespace pylabhub::cli {

using nlohmann::ordered_json;

void PrintLine(absl::string_view line) {
  std::fwrite(line.data(), 1, line.size(), stdout);
  std::fputc('\n', stdout);
}

void PrintObject(const ordered_json& json) {
  PrintLine(json.dump(-1, ' ', false, ordered_json::error_handler_t::replace));
}

void PrintTable(const Table& table) {
  for (const std::string& line : table.Lines()) PrintLine(line);
}

bool Flush() { return std::fflush(stdout) == 0 && std::ferror(stdout) == 0; }

}  // namespace pylabhub::cli
