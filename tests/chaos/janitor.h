// Looks at a folder of channels again and again, and removes what nobody needs, as `pylabhub doctor --clean` does.
#ifndef PYLABHUB_TESTS_CHAOS_JANITOR_H_
#define PYLABHUB_TESTS_CHAOS_JANITOR_H_

#include <string>

namespace pylabhub::chaos {

// One round; the exit code of a process that does this, 0 if nothing went wrong.
int CleanOnce(const std::string& directory);

}  // namespace pylabhub::chaos

#endif  // PYLABHUB_TESTS_CHAOS_JANITOR_H_
