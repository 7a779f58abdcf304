// Debian's etcd over mutual TLS: linearizable ranges, durable puts, as it does by default.
#pragma once

#include <memory>
#include <string>

#include "tests/bench/control/subject.h"

namespace pylabhub::bench {

// Starts etcd with its data in `data_folder`, and fills it with `names` names. Null, with a line to standard error that says
// why, if that fails.
std::unique_ptr<DirectorySubject> MakeEtcdSubject(const std::string& certificates_folder,
                                                  const std::string& data_folder, int names);

}  // namespace pylabhub::bench
