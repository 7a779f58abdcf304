// A forked child that runs a function of the test, and two pipes to march in step with it: no sleeps.
#ifndef PYLABHUB_TESTS_SUPPORT_CHILD_PROCESS_H_
#define PYLABHUB_TESTS_SUPPORT_CHILD_PROCESS_H_

#include <sys/types.h>

#include <functional>
#include <memory>

namespace pylabhub::testing {

class ChildProcess {
 public:
  // What the child may say to its parent, and hear from it.
  class Line {
   public:
    Line(int in, int out) : in_(in), out_(out) {}
    // Tells the other side that a step is done.
    void Signal(char step = '.') const;
    // Waits for the other side's next step; 0 if it is gone.
    char Await() const;

   private:
    int in_;
    int out_;
  };

  // Forks. `body` runs in the child, which then exits with what it returned; it must make its own channel
  // handles. The child dies with its parent.
  explicit ChildProcess(const std::function<int(const Line&)>& body);
  // Kills the child if it still runs.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  const Line& line() const { return *line_; }
  pid_t pid() const { return pid_; }
  // SIGKILL, and waits until the kernel has dropped everything that the child held.
  void Kill();
  void Stop();
  void Continue();
  // Waits for the child to end by itself; its exit code, or -1 if a signal ended it.
  int Wait();

 private:
  pid_t pid_ = -1;
  int in_ = -1;
  int out_ = -1;
  std::unique_ptr<Line> line_;
};

}  // namespace pylabhub::testing

#endif  // PYLABHUB_TESTS_SUPPORT_CHILD_PROCESS_H_
