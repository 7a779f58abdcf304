#include "tests/support/child_program.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <utility>

namespace pylabhub::testing {
namespace {

constexpr int kCannotRun = 127;

}  // namespace

ChildProgram::ChildProgram(const std::vector<std::string>& command) {
  int to_child[2];
  int to_parent[2];
  if (pipe2(to_child, O_CLOEXEC) != 0 || pipe2(to_parent, O_CLOEXEC) != 0) std::abort();
  // A child that is gone shows in what it does not say.
  signal(SIGPIPE, SIG_IGN);
  std::vector<char*> arguments;
  for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  pid_ = fork();
  if (pid_ == 0) {
    // Only what is safe between fork and exec in a process with threads.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(to_child[0], STDIN_FILENO);
    dup2(to_parent[1], STDOUT_FILENO);
    execv(arguments[0], arguments.data());
    _exit(kCannotRun);
  }
  close(to_child[0]);
  close(to_parent[1]);
  to_ = fdopen(to_child[1], "w");
  from_ = fdopen(to_parent[0], "r");
}

ChildProgram::~ChildProgram() {
  Kill();
  if (to_ != nullptr) fclose(to_);
  fclose(from_);
}

void ChildProgram::Say(const std::string& line) {
  fputs((line + "\n").c_str(), to_);
  fflush(to_);
}

std::string ChildProgram::Hear() {
  char* line = nullptr;
  size_t capacity = 0;
  const ssize_t size = getline(&line, &capacity, from_);
  std::string heard(line, size > 0 ? size : 0);
  free(line);
  if (!heard.empty() && heard.back() == '\n') heard.pop_back();
  return heard;
}

void ChildProgram::Signal(int signal) { kill(pid_, signal); }

void ChildProgram::Kill() {
  if (pid_ < 0) return;
  Signal(SIGKILL);
  Wait();
}

int ChildProgram::Finish() {
  if (pid_ < 0) return -1;
  fclose(std::exchange(to_, nullptr));
  return Wait();
}

int ChildProgram::Wait() {
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace pylabhub::testing
