// A BrokerConnection with no broker behind it: it finds the named channels of this host by their files.
//
// Discover and ListChannels look at shared memory, and find what has a live producer. Register and ConsumerRegister succeed,
// with a Grant that says that nothing is registered; what gives up succeeds too. There are no leases and no epochs, nothing
// to watch, and nobody is told of anybody.
//
// Thread safety: thread-safe.
// Time:          Discover opens one channel's files; ListChannels those of every channel in the folder.
// Errors:        CHANNEL_NOT_FOUND as a broker gives it. kPermissionDenied, kFailedPrecondition: the channel's files are
//                another user's, or damaged; kUnavailable: the folder cannot be read.
#ifndef PYLABHUB_CLIENT_LOCAL_CONNECTION_H_
#define PYLABHUB_CLIENT_LOCAL_CONNECTION_H_

#include <memory>
#include <string>

#include "client/broker_connection.h"

namespace pylabhub {

std::unique_ptr<BrokerConnection> NewLocalConnection(std::string directory = "/dev/shm");

}  // namespace pylabhub

#endif  // PYLABHUB_CLIENT_LOCAL_CONNECTION_H_
