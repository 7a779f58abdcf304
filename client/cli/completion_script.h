// Shell completion, made from the definitions that the command line is read by, so that it cannot know less than they do.
//
// Completed are verbs, flags, the words that a flag may have, files and folders where those are meant, and where a channel is,
// the names of those on this host (`pylabhub channels`).
//
// Pure.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace pylabhub::cli {

enum class Shell { kBash, kZsh, kFish };

// For `app` and every verb below it. What the shell must read: `source <(pylabhub completion bash)`.
std::string CompletionScript(const CLI::App& app, Shell shell);

}  // namespace pylabhub::cli
