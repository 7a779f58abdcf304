#include "tests/support/child_process.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace pylabhub::testing {

void ChildProcess::Line::Signal(char step) const {
  if (write(out_, &step, 1) != 1) _exit(99);
}

char ChildProcess::Line::Await() const {
  char step = 0;
  ssize_t got = 0;
  do {
    got = read(in_, &step, 1);
  } while (got < 0 && errno == EINTR);
  return got == 1 ? step : '\0';
}

ChildProcess::ChildProcess(const std::function<int(const Line&)>& body) {
  int to_child[2];
  int to_parent[2];
  if (pipe(to_child) != 0 || pipe(to_parent) != 0) std::abort();
  signal(SIGPIPE, SIG_IGN);
  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(to_child[1]);
    close(to_parent[0]);
    // No destructor of the parent's objects runs here.
    _exit(body(Line(to_child[0], to_parent[1])));
  }
  close(to_child[0]);
  close(to_parent[1]);
  in_ = to_parent[0];
  out_ = to_child[1];
  line_ = std::make_unique<Line>(in_, out_);
}

ChildProcess::~ChildProcess() {
  Kill();
  close(in_);
  close(out_);
}

void ChildProcess::Kill() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  Wait();
}

void ChildProcess::Stop() {
  kill(pid_, SIGSTOP);
  int status = 0;
  waitpid(pid_, &status, WUNTRACED);
}

void ChildProcess::Continue() { kill(pid_, SIGCONT); }

int ChildProcess::Wait() {
  if (pid_ < 0) return -1;
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace pylabhub::testing
