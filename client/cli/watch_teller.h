// What a person is told of a broker's Watch events: that a channel was created, that another producer took its place, that
// it closed, and who comes and goes.
//
// Pure; knows the channels that it was told of, so that it can tell a new producer from a new channel.
//
// Thread safety: thread-compatible.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "client/broker_types.h"

namespace pylabhub::cli {

struct WatchNews {
  // "present" (there from the beginning), "created", "replaced" (another producer, or another segment), "ready" (again),
  // "closing", "closed", "consumer_joined", "consumer_left", "schema_changed".
  std::string what = {};
  uint64_t revision = 0;
  Channel channel = {};  // after it
};

class WatchTeller {
 public:
  // Nothing for what only the protocol needs to know.
  std::optional<WatchNews> Tell(const WatchEvent& event);

 private:
  std::map<std::string, uint64_t> epochs_;  // of the channels that were ready
};

// "sensor.temperature  created  epoch 3, by lab/ada (process 17 on lab7), 2 consumers"
std::string TextOf(const WatchNews& news);

nlohmann::ordered_json ToJson(const WatchNews& news);

}  // namespace pylabhub::cli
