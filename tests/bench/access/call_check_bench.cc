// What the broker asks before it answers a call, beside what the call is for: whether the certificate is still good, and whether the
// policy, of 1,000 rules, allows it.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "broker/access/access_control.h"
#include "broker/access/certificate_standing.h"
#include "broker/metrics.h"
#include "proto/policy/policy.h"
#include "proto/tls/revocation_list.h"

namespace pylabhub::broker {
namespace {

constexpr int kRules = 1000;
constexpr int kRevoked = 1000;
constexpr char kIdentity[] = "spiffe://lab/camera/500";
constexpr char kChannel[] = "camera.500";
constexpr char kSerial[] = "7f00000000000001";

void Revoke(int serials, CertificateStanding& standing) {
  tls::RevocationList list;
  for (int i = 0; i < serials; ++i) {
    if (!list.AddSerial(absl::StrCat(0x1000 + i), {}).ok() ||
        !list.AddIdentity(absl::StrCat("spiffe://lab/stolen/", i), {}).ok()) {
      std::abort();
    }
  }
  standing.Publish(std::make_shared<const tls::RevocationList>(std::move(list)));
}

void Enforce(AccessControl& access) {
  std::vector<policy::Rule> rules;
  for (int i = 0; i < kRules; ++i) {
    rules.push_back({.name = absl::StrCat("rule", i),
                     .principals = {absl::StrCat("spiffe://lab/camera/", i)},
                     .actions = {policy::Action::kRegister, policy::Action::kDiscover},
                     .channels = {absl::StrCat("camera.", i)}});
  }
  access.Publish(std::make_shared<const policy::Policy>(std::move(rules)));
}

void AskAboutCertificate(benchmark::State& state) {
  Metrics metrics;
  CertificateStanding standing(metrics);
  Revoke(static_cast<int>(state.range(0)), standing);
  const absl::Time now = absl::Now();
  for (auto _ : state) {
    if (!standing.Check(kIdentity, kSerial, now + absl::Hours(1), now).ok()) std::abort();
  }
}

void AskAboutCertificateAndPolicy(benchmark::State& state) {
  Metrics metrics;
  CertificateStanding standing(metrics);
  AccessControl access({}, metrics);
  Revoke(kRevoked, standing);
  Enforce(access);
  const absl::Time expire_time = absl::Now() + absl::Hours(1);
  for (auto _ : state) {
    const bool is_let_in = standing.Check(kIdentity, kSerial, expire_time, absl::Now()).ok() &&
                           access.RightsOf(kIdentity).Check(policy::Action::kDiscover, kChannel).ok();
    if (!is_let_in) std::abort();
  }
}

BENCHMARK(AskAboutCertificate)->Arg(0)->Arg(kRevoked);
BENCHMARK(AskAboutCertificateAndPolicy);

}  // namespace
}  // namespace pylabhub::broker

BENCHMARK_MAIN();
