#include "tests/bench/control/measure.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "tests/bench/control/time_calls.h"

namespace pylabhub::bench {
namespace {

constexpr int kBatchNames = 64;
constexpr int kWriters = 64;
// Writes change names that are there already, so that nobody's directory grows while it is measured.
constexpr uint64_t kWrittenNames = 1000;
constexpr int kSessionsInACall = 1000;
constexpr int kHeartbeatCallsASecond = 10;
constexpr size_t kSyncedBytes = 200;

Clock::time_point EndOf(const RoundSettings& settings) { return NowPlus(settings.seconds); }

std::string WrittenName(uint64_t index) { return absl::StrCat("bench.written.", index % kWrittenNames); }

}  // namespace

absl::Status MeasureLookups(DirectorySubject& subject, const RoundSettings& settings, Recorder& recorder) {
  std::mt19937_64 random(static_cast<uint64_t>(settings.round));
  const auto lookup = [&] { return subject.Lookup(random() % static_cast<uint64_t>(settings.names)); };
  // Warm: the connection, both processes' caches.
  for (int i = 0; i < 20; ++i) {
    if (absl::Status status = lookup(); !status.ok()) return status;
  }
  const double cpu_before = subject.server().ProcessorSeconds();
  const auto times = TimeCalls(EndOf(settings), lookup);
  if (!times.ok()) return times.status();
  const double cpu = subject.server().ProcessorSeconds() - cpu_before;
  recorder.Add("discover.cold", subject.name(), "ns", Quantile(*times, 0.5));
  recorder.Add("discover.cold.p99", subject.name(), "ns", Quantile(*times, 0.99));
  recorder.Add("discover.cold.cpu", subject.name(), "ns", 1e9 * cpu / static_cast<double>(times->size()));
  return absl::OkStatus();
}

absl::Status MeasureBatches(DirectorySubject& subject, const RoundSettings& settings, Recorder& recorder) {
  const auto room = static_cast<uint64_t>(settings.names - kBatchNames);
  std::mt19937_64 random(static_cast<uint64_t>(settings.round));
  const Clock::time_point begin = Clock::now();
  const auto times =
      TimeCalls(EndOf(settings), [&] { return subject.LookupBatch(random() % room, kBatchNames); });
  if (!times.ok()) return times.status();
  const double names = kBatchNames * static_cast<double>(times->size());
  recorder.Add("discover.batch64", subject.name(), "k/s", names / NsSince(begin) * 1e6);
  return absl::OkStatus();
}

absl::Status MeasureIdle(const std::vector<DirectorySubject*>& subjects, int calls,
                         const RoundSettings& settings, Recorder& recorder) {
  std::mt19937_64 random(static_cast<uint64_t>(settings.round));
  std::vector<double> longest(subjects.size(), 0);
  for (int i = 0; i < calls; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1000 + random() % 1000));
    for (size_t k = 0; k < subjects.size(); ++k) {
      const Clock::time_point begin = Clock::now();
      if (absl::Status status = subjects[k]->Lookup(random() % static_cast<uint64_t>(settings.names));
          !status.ok())
        return status;
      longest[k] = std::max(longest[k], NsSince(begin));
    }
  }
  for (size_t k = 0; k < subjects.size(); ++k)
    recorder.Add("discover.idle.max", subjects[k]->name(), "ns", longest[k]);
  return absl::OkStatus();
}

absl::Status MeasureWrites(DirectorySubject& subject, const RoundSettings& settings, Recorder& recorder) {
  uint64_t written = 0;
  const auto times = TimeCalls(EndOf(settings), [&] { return subject.Put(WrittenName(written++)); });
  if (!times.ok()) return times.status();
  recorder.Add("register.durable", subject.name(), "ns", Quantile(*times, 0.5));
  return absl::OkStatus();
}

absl::Status MeasureWritesAtOnce(DirectorySubject& subject, const RoundSettings& settings,
                                 Recorder& recorder) {
  const Clock::time_point begin = Clock::now();
  const Clock::time_point end = EndOf(settings);
  std::mutex mutex;
  size_t writes = 0;
  absl::Status failure = absl::OkStatus();
  std::vector<std::thread> writers;
  for (uint64_t k = 0; k < kWriters; ++k) {
    writers.emplace_back([&, k] {
      uint64_t next = k;
      const auto times = TimeCalls(end, [&] {
        next += kWriters;
        return subject.CanPut() ? subject.Put(WrittenName(next)) : subject.Lookup(next);
      });
      const std::lock_guard lock(mutex);
      if (times.ok()) writes += times->size();
      failure.Update(times.status());
    });
  }
  for (std::thread& writer : writers) writer.join();
  if (!failure.ok()) return failure;
  recorder.Add("register.durable64", subject.name(), "k/s",
               static_cast<double>(writes) / NsSince(begin) * 1e6);
  return absl::OkStatus();
}

absl::Status MeasureSync(const std::string& folder, const RoundSettings& settings, Recorder& recorder) {
  const std::string path = absl::StrCat(folder, "/sync.", settings.round);
  const int fd = open(path.c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return absl::UnavailableError(absl::StrCat("cannot create ", path));
  const std::string bytes(kSyncedBytes, 'x');
  const auto times = TimeCalls(EndOf(settings), [&] {
    const bool synced =
        write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()) && fdatasync(fd) == 0;
    return synced ? absl::OkStatus() : absl::UnavailableError(absl::StrCat("cannot write ", path));
  });
  close(fd);
  unlink(path.c_str());
  if (!times.ok()) return times.status();
  recorder.Add("register.durable", "fdatasync", "ns", Quantile(*times, 0.5));
  return absl::OkStatus();
}

absl::Status MeasureHeartbeats(BrokerSubject& subject, const RoundSettings& settings, Recorder& recorder) {
  const Clock::time_point begin = Clock::now();
  const double cpu_before = subject.server().ProcessorSeconds();
  for (int call = 0; call < kHeartbeatCallsASecond; ++call) {
    std::this_thread::sleep_until(begin + call * std::chrono::milliseconds(1000 / kHeartbeatCallsASecond));
    const int first = call * kSessionsInACall % std::max(1, settings.names - kSessionsInACall + 1);
    if (absl::Status status = subject.Heartbeat(static_cast<uint64_t>(first), kSessionsInACall); !status.ok())
      return status;
  }
  std::this_thread::sleep_until(begin + std::chrono::seconds(1));
  const double seconds = NsSince(begin) / 1e9;
  recorder.Add("heartbeat.10k", subject.name(), "cores",
               (subject.server().ProcessorSeconds() - cpu_before) / seconds);
  return absl::OkStatus();
}

}  // namespace pylabhub::bench
