#include "broker/access/policy_keeper.h"

#include <sys/stat.h>

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "proto/policy/policy_file.h"

namespace pylabhub::broker {
namespace {

int64_t Nanoseconds(const timespec& time) { return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec; }

}  // namespace

PolicyKeeper::PolicyKeeper(Options options, Metrics& metrics)
    : options_(std::move(options)),
      good_(metrics.AddCounter("pylabhub_broker_policy_loads_total", "How often the policy was read.",
                               {{"result", "good"}})),
      bad_(metrics.AddCounter("pylabhub_broker_policy_loads_total", "How often the policy was read.",
                              {{"result", "bad"}})) {
  metrics.ReadGauge("pylabhub_broker_policy_rules", "Rules of the policy that stands.", {}, [this] {
    const std::lock_guard<std::mutex> lock(mutex_);
    return static_cast<double>(rule_count_);
  });
  metrics.ReadGauge("pylabhub_broker_policy_load_timestamp_seconds",
                    "When the policy that stands was read, in Unix time.", {}, [this] {
                      const std::lock_guard<std::mutex> lock(mutex_);
                      return absl::ToDoubleSeconds(load_time_ - absl::UnixEpoch());
                    });
}

PolicyKeeper::~PolicyKeeper() { Stop(); }

void PolicyKeeper::Stop() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void PolicyKeeper::Start() {
  thread_ = std::thread([this] { LookUntilStopped(); });
}

absl::Status PolicyKeeper::Reload() {
  const std::lock_guard<std::mutex> lock(mutex_);
  seen_ = Look(options_.file);
  absl::Status status = Read("asked to");
  // Once more when it has settled: what is written in this very moment may look the same.
  read_.reset();
  return status;
}

PolicyKeeper::Stamp PolicyKeeper::Look(const std::string& file) {
  struct stat found = {};
  // Of what a link leads to.
  if (stat(file.c_str(), &found) != 0) return {};
  return {.device = found.st_dev,
          .inode = found.st_ino,
          .bytes = found.st_size,
          .modify_ns = Nanoseconds(found.st_mtim),
          .change_ns = Nanoseconds(found.st_ctim)};
}

void PolicyKeeper::LookUntilStopped() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!changed_.wait_for(lock, absl::ToChronoNanoseconds(options_.look_interval),
                            [this] { return stopping_; })) {
    const Stamp now = Look(options_.file);
    const bool is_settled = now == seen_;
    seen_ = now;
    if (is_settled && now != read_) Read("changed").IgnoreError();
  }
}

absl::Status PolicyKeeper::Read(absl::string_view why) {
  read_ = seen_;
  absl::StatusOr<std::string> text = policy::ReadPolicyText(options_.file);
  // Somebody writes: it is looked at again, when it has settled.
  if (absl::IsAborted(text.status())) read_.reset();
  if (!text.ok()) return Refuse(std::string(text.status().message()));
  if (*text == text_) {
    problems_.clear();
    return absl::OkStatus();
  }
  const policy::PolicyReport report = policy::ReadPolicy(*text);
  const std::string problems = policy::TextOf(report.problems, options_.file);
  if (report.policy == nullptr) return Refuse(problems);
  good_.Increment();
  problems_.clear();
  text_ = *std::move(text);
  rule_count_ = report.policy->rules().size();
  load_time_ = absl::Now();
  if (options_.log) {
    LogRecord record = {
        .event = "policy_loaded",
        .fields = {{"file", options_.file}, {"why", std::string(why)}, {"rules", absl::StrCat(rule_count_)}}};
    if (!problems.empty()) record.fields.emplace_back("warnings", problems);
    options_.log(record);
  }
  options_.publish(report.policy);
  return absl::OkStatus();
}

absl::Status PolicyKeeper::Refuse(const std::string& problems) {
  if (problems != problems_) {
    bad_.Increment();
    if (options_.log) {
      const absl::string_view before = text_.empty() ? "" : "the policy before stands: ";
      options_.log({LogLevel::kError,
                    "policy_refused",
                    {{"file", options_.file}, {"message", absl::StrCat(before, problems)}}});
    }
  }
  problems_ = problems;
  return absl::FailedPreconditionError(problems);
}

}  // namespace pylabhub::broker
