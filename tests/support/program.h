// A program started by a test: its output line by line, its errors, its end. It dies with the test.
#ifndef PYLABHUB_TESTS_SUPPORT_PROGRAM_H_
#define PYLABHUB_TESTS_SUPPORT_PROGRAM_H_

#include <sys/types.h>

#include <cstdio>
#include <string>
#include <vector>

namespace pylabhub::testing {

class Program {
 public:
  // `arguments[0]` is the program's path. Failing to start it ends the test program.
  explicit Program(const std::vector<std::string>& arguments);
  // Kills it if it still runs.
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // The next line of standard output without its end; waits for it. Empty when the output has ended.
  std::string ReadLine();

  void Signal(int signal_number) const;
  // While it has not been waited for.
  pid_t pid() const { return pid_; }

  // Waits for its end. The exit code, or minus the signal that ended it.
  int Wait();

  // Standard error so far.
  std::string errors() const;

 private:
  pid_t pid_ = -1;
  std::FILE* output_ = nullptr;
  std::FILE* errors_ = nullptr;
};

}  // namespace pylabhub::testing

#endif  // PYLABHUB_TESTS_SUPPORT_PROGRAM_H_
