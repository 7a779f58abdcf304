// This process, as it describes itself to a broker, and whether another one shares its memory.
#ifndef PYLABHUB_CLIENT_PROCESS_INFO_H_
#define PYLABHUB_CLIENT_PROCESS_INFO_H_

#include "client/broker_types.h"

namespace pylabhub {

// Reads /proc and stats /dev/shm; what cannot be read is left empty.
ProcessInfo ThisProcess();

// Whether two processes see one /dev/shm: the same kernel (boot id) and the same device. False when either
// did not say.
bool SharesMemory(const ProcessInfo& a, const ProcessInfo& b);

// Whether two processes run under one kernel.
bool ShareKernel(const ProcessInfo& a, const ProcessInfo& b);

}  // namespace pylabhub

#endif  // PYLABHUB_CLIENT_PROCESS_INFO_H_
