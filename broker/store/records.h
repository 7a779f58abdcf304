// Between records and rows: what is written in a store for each change, and back.
//
// Thread safety: free functions with no shared state.
#ifndef PYLABHUB_BROKER_STORE_RECORDS_H_
#define PYLABHUB_BROKER_STORE_RECORDS_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "broker/registry_state.h"
#include "broker/store/store.h"

namespace pylabhub::broker {

Row ToRow(const Change& change);

// What a broker kept.
struct KeptRecords {
  RegistryState registry = {};
  std::optional<HistoryRecord> history = {};  // nothing: a store that was never used
  std::map<std::string, std::string> opaque = {};
  // Keys of rows that say nothing that this broker understands. They are left out.
  std::vector<std::string> unreadable_keys = {};
};

KeptRecords FromRows(std::vector<Row> rows);

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_STORE_RECORDS_H_
