// Measures the broker's store beside LMDB and the disk's own fdatasync, interleaved in one run: a commit alone, 64 writers
// with group commit, and reading 100,000 channels back.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "broker/store/group_commit.h"
#include "broker/store/sqlite_store.h"
#include "tests/bench/store/lmdb_store.h"

namespace pylabhub::bench {
namespace {

using broker::Change;
using broker::GroupCommit;
using broker::OpaqueRecord;
using broker::Row;
using broker::Store;
using Clock = std::chrono::steady_clock;
using StoreMaker = std::function<std::unique_ptr<Store>(const std::string& folder)>;

constexpr int kRounds = 9;
constexpr int kCommits = 200;
constexpr int kWriters = 64;
constexpr int kCommitsOfAWriter = 20;
constexpr int kChannels = 100'000;
constexpr size_t kRowBytes = 400;  // a channel with a little metadata

double MicrosSince(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

double Quantile(std::vector<double> values, double quantile) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(quantile * static_cast<double>(values.size() - 1))];
}

[[noreturn]] void Fail(const std::string& message) {
  std::cerr << "error: " << message << std::endl;
  std::exit(1);
}

std::unique_ptr<Store> OpenSqlite(const std::string& folder) {
  auto store = broker::OpenSqliteStore(folder);
  if (!store.ok()) Fail(std::string(store.status().message()));
  return *std::move(store);
}

std::unique_ptr<Store> OpenLmdb(const std::string& folder) {
  std::filesystem::create_directories(folder);
  return std::make_unique<LmdbStore>(folder);
}

Row RowOf(int number) {
  return {absl::StrCat("channel/", number * 7919 % kChannels), std::string(kRowBytes, 'v')};
}

// In microseconds.
struct Latencies {
  std::vector<double> values = {};
  double per_second = 0;
};

// Blocks that the file has already are written again: as little as a disk can be asked for.
Latencies MeasureFdatasync(const std::string& folder) {
  const std::string path = folder + "/fdatasync";
  const std::string block(4096, 'v');
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  for (int i = 0; i < kCommits; ++i) (void)!pwrite(file, block.data(), block.size(), i * 4096L);
  fsync(file);
  Latencies latencies;
  for (int i = 0; i < kCommits; ++i) {
    const auto start = Clock::now();
    if (pwrite(file, block.data(), block.size(), i * 4096L) < 0 || fdatasync(file) != 0) Fail("fdatasync");
    latencies.values.push_back(MicrosSince(start));
  }
  close(file);
  return latencies;
}

Latencies MeasureOne(Store& store, int round) {
  Latencies latencies;
  for (int i = 0; i < kCommits; ++i) {
    const auto start = Clock::now();
    if (!store.Commit({RowOf(round * kCommits + i)}).ok()) Fail("commit");
    latencies.values.push_back(MicrosSince(start));
  }
  return latencies;
}

Latencies MeasureMany(GroupCommit& commit, int round) {
  std::vector<Latencies> of_writers(kWriters);
  const auto start = Clock::now();
  std::vector<std::thread> writers;
  for (int writer = 0; writer < kWriters; ++writer) {
    writers.emplace_back([&, writer] {
      for (int i = 0; i < kCommitsOfAWriter; ++i) {
        const Row row = RowOf((round * kWriters + writer) * kCommitsOfAWriter + i);
        const auto begin = Clock::now();
        if (!commit.Wait(commit.Add({Change{row.key, OpaqueRecord{*row.value}}}, {})).ok()) Fail("commit");
        of_writers[static_cast<size_t>(writer)].values.push_back(MicrosSince(begin));
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  Latencies latencies{.per_second = kWriters * kCommitsOfAWriter / (MicrosSince(start) / 1e6)};
  for (const Latencies& one : of_writers) {
    latencies.values.insert(latencies.values.end(), one.values.begin(), one.values.end());
  }
  return latencies;
}

double MeasureReload(const StoreMaker& open, const std::string& folder) {
  const auto start = Clock::now();
  const auto stored = open(folder)->Load();
  if (!stored.ok() || stored->rows.size() < kChannels || !stored->damage.empty()) Fail("reload");
  return MicrosSince(start) / 1e3;
}

void Fill(Store& store) {
  std::vector<Row> rows;
  for (int i = 0; i < kChannels; ++i) rows.push_back(RowOf(i));
  if (!store.Load().ok() || !store.Commit(rows).ok()) Fail("cannot fill a store");
}

// The medians over the rounds of each round's quantile.
class Table {
 public:
  void Add(const std::string& bench, const Latencies& latencies) {
    p50_[bench].push_back(Quantile(latencies.values, 0.5));
    p99_[bench].push_back(Quantile(latencies.values, 0.99));
    if (latencies.per_second > 0) rate_[bench].push_back(latencies.per_second);
  }
  void Print(const std::string& bench) {
    const double p50 = Quantile(p50_[bench], 0.5);
    std::cout << absl::StrFormat("%-24s p50 %8.0f us   p99 %8.0f us   %5.2f x fdatasync", bench, p50,
                                 Quantile(p99_[bench], 0.5), p50 / Quantile(p50_["fdatasync"], 0.5));
    if (rate_.contains(bench))
      std::cout << absl::StrFormat("   %8.0f commits/s", Quantile(rate_[bench], 0.5));
    std::cout << std::endl;
  }

 private:
  std::map<std::string, std::vector<double>> p50_;
  std::map<std::string, std::vector<double>> p99_;
  std::map<std::string, std::vector<double>> rate_;
};

void Run(const std::string& folder) {
  const std::map<std::string, StoreMaker> makers = {{"sqlite", OpenSqlite}, {"lmdb", OpenLmdb}};
  Table table;
  std::map<std::string, std::vector<double>> reloads;
  std::map<std::string, Store*> stores;
  std::map<std::string, std::unique_ptr<GroupCommit>> commits;
  for (const auto& [name, make] : makers) {
    const std::string place = absl::StrCat(folder, "/", name);
    Fill(*make(place));
    for (int round = 0; round < kRounds; ++round) reloads[name].push_back(MeasureReload(make, place));
    std::unique_ptr<Store> store = make(place);
    if (!store->Load().ok()) Fail("cannot load");
    stores[name] = store.get();
    commits[name] = std::make_unique<GroupCommit>(
        broker::GroupCommitOptions{.store = std::move(store), .encode = [](const Change& change) {
                                     return Row{change.key, std::get<OpaqueRecord>(change.record).bytes};
                                   }});
  }
  for (int round = 0; round < kRounds; ++round) {
    table.Add("fdatasync", MeasureFdatasync(folder));
    for (const auto& [name, store] : stores) {
      table.Add(name + " one", MeasureOne(*store, round));
      table.Add(name + " 64 at once", MeasureMany(*commits[name], round));
    }
  }
  for (const char* bench : {"fdatasync", "sqlite one", "lmdb one", "sqlite 64 at once", "lmdb 64 at once"}) {
    table.Print(bench);
  }
  for (const auto& [name, millis] : reloads) {
    std::cout << absl::StrFormat("%-24s %d rows in %.0f ms\n", name + " reload", kChannels,
                                 Quantile(millis, 0.5));
  }
}

}  // namespace
}  // namespace pylabhub::bench

int main() {
  // Not in a file system of memory, where nothing has to be synchronised.
  std::string folder = std::filesystem::current_path() / "store_bench.XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) return 1;
  pylabhub::bench::Run(folder);
  std::filesystem::remove_all(folder);
}
