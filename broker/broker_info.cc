#include "broker/broker_info.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "broker/directory.h"
#include "broker/random_id.h"
#include "broker/refusal.h"

namespace pylabhub::broker {
namespace {

std::string BootId() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id;
}

}  // namespace

BrokerInfo DescribeThisBroker() {
  utsname names = {};
  uname(&names);
  const std::string id = RandomId();
  return {.broker_id = id,
          .history_id = id,
          .host = names.nodename,
          .boot_id = BootId(),
          .pid = getpid(),
          .start_time = SteadyNow()};
}

std::vector<std::string> ImplementedMethods() {
  std::vector<std::string> methods = {"/pylabhub.v1.Admin/CloseChannel", "/pylabhub.v1.Admin/Drain",
                                      "/pylabhub.v1.Admin/ListSessions"};
  for (const char* name : {"ConsumerDeregister", "ConsumerRegister", "Deregister", "Discover",
                           "GetBrokerInfo", "Heartbeat", "ListChannels", "Register", "Watch"}) {
    methods.push_back(absl::StrCat("/pylabhub.v1.Broker/", name));
  }
  for (const char* name : {"CheckSchemaCompatibility", "GetSchema", "ListSchemas", "RegisterSchema"}) {
    methods.push_back(absl::StrCat("/pylabhub.v1.SchemaRegistry/", name));
  }
  return methods;
}

absl::Status CheckProtocolVersions(uint32_t min_version, uint32_t max_version) {
  if (min_version == 0 && max_version == 0) return absl::OkStatus();
  if (min_version == 0 || min_version > max_version) {
    return RefuseFields({{"min_protocol_version", "must be from 1 to max_protocol_version"}});
  }
  if (min_version <= kMaxProtocolVersion && max_version >= kMinProtocolVersion) return absl::OkStatus();
  return Refuse(
      Reason::kVersionUnsupported,
      absl::StrCat("the client speaks protocol versions ", min_version, " to ", max_version, ", this broker ",
                   kMinProtocolVersion, " to ", kMaxProtocolVersion, "; update the older one"),
      {{"min_protocol_version", absl::StrCat(kMinProtocolVersion)},
       {"max_protocol_version", absl::StrCat(kMaxProtocolVersion)}});
}

}  // namespace pylabhub::broker
