// The random name that a client process gives its session, and its calls.
#ifndef PYLABHUB_CLIENT_SESSION_ID_H_
#define PYLABHUB_CLIENT_SESSION_ID_H_

#include <string>

namespace pylabhub {

// 128 random bits from the kernel, as 32 lower-case hexadecimal digits.
std::string RandomSessionId();

}  // namespace pylabhub

#endif  // PYLABHUB_CLIENT_SESSION_ID_H_
