// A program in a process of its own, spoken to line by line over its standard input and output: no sleeps.
#ifndef PYLABHUB_TESTS_SUPPORT_CHILD_PROGRAM_H_
#define PYLABHUB_TESTS_SUPPORT_CHILD_PROGRAM_H_

#include <sys/types.h>

#include <cstdio>
#include <string>
#include <vector>

namespace pylabhub::testing {

class ChildProgram {
 public:
  // Starts `command`: the program's path, then its arguments. It dies with its parent.
  explicit ChildProgram(const std::vector<std::string>& command);
  // Kills it if it still runs.
  ~ChildProgram();
  ChildProgram(const ChildProgram&) = delete;
  ChildProgram& operator=(const ChildProgram&) = delete;

  void Say(const std::string& line);
  // The next line that it prints, without its end; empty if there is none any more.
  std::string Hear();
  std::string Ask(const std::string& line) {
    Say(line);
    return Hear();
  }

  void Signal(int signal);
  // SIGKILL, and waits until the kernel has dropped everything that the process held.
  void Kill();
  // Closes its input and waits for it to end; its exit code, or -1 if a signal ended it.
  int Finish();

 private:
  int Wait();

  pid_t pid_ = -1;
  FILE* to_ = nullptr;
  FILE* from_ = nullptr;
};

}  // namespace pylabhub::testing

#endif  // PYLABHUB_TESTS_SUPPORT_CHILD_PROGRAM_H_
