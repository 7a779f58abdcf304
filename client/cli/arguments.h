// Arguments that more than one verb has, read the same way everywhere.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "absl/time/time.h"

namespace pylabhub::cli {

// What main runs once the command line is read; returns an exit code. Each verb sets it when it is the one
// that was given.
using Action = std::function<int()>;

// "500ms", "5s", "2m"; also "inf". Zero and more.
CLI::Option* AddDuration(CLI::App& app, const std::string& flag, absl::Duration& value,
                         const std::string& help);

// "65536", "64KiB", "1MiB" (KB is read as KiB).
CLI::Option* AddBytes(CLI::App& app, const std::string& flag, uint64_t& value, const std::string& help);

// For transform(): takes the words, each of which stands for a value of an enum, and names them where another one is given.
template <typename T>
CLI::Validator OneOf(const std::map<std::string, T>& words) {
  return CLI::Validator(
      [words](std::string& text) {
        if (const auto found = words.find(text); found != words.end()) {
          text = std::to_string(static_cast<int>(found->second));
          return std::string();
        }
        std::string known;
        for (const auto& [word, value] : words) known += (known.empty() ? "" : ", ") + word;
        return "'" + text + "' is none of " + known;
      },
      "");
}

// CHANNEL, required.
CLI::Option* AddChannel(CLI::App& app, std::string& channel);

// --directory (or PYLABHUB_DIRECTORY): where the host's channels are. It must be there.
CLI::Option* AddDirectory(CLI::App& app, std::string& directory);

enum class Output { kText, kJson };

// --output table|json; `text` is another word for table.
CLI::Option* AddOutput(CLI::App& app, Output& output);

}  // namespace pylabhub::cli
