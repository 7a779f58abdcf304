// What the broker's process cannot do any more, tried in a child; and the real program, as the kernel describes it.

#include "broker/process_guard.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <thread>

#include "absl/strings/numbers.h"
#include "tests/support/program.h"
#include "tests/support/temp_folder.h"

namespace pylabhub::broker {
namespace {

using ::testing::HasSubstr;
using testing::Program;
using testing::TempFolder;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

// What `body` returns in a child whose process is guarded.
int InGuardedChild(const GuardOptions& options, const std::function<int()>& body) {
  const pid_t child = fork();
  if (child == 0) {
    GuardProcess(options, [](const LogRecord&) {});
    _exit(body());
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

// The errno of a call that is refused; 0 if it is not.
int ErrnoOf(long result) { return result < 0 ? errno : 0; }

class SandboxTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (kSanitized) GTEST_SKIP() << "a build for a sanitizer has no sandbox";
  }
  static int InSandbox(const std::function<int()>& body) { return InGuardedChild({}, body); }
};

TEST_F(SandboxTest, NoProgramCanBeStarted) {
  EXPECT_EQ(InSandbox([] { return ErrnoOf(execl("/bin/true", "true", nullptr)); }), EPERM);
  EXPECT_EQ(InSandbox([] { return ErrnoOf(syscall(SYS_execveat, -1, "/bin/true", nullptr, nullptr, 0)); }),
            EPERM);
}

TEST_F(SandboxTest, NoProcessCanBeMadeButAThreadCan) {
  EXPECT_EQ(InSandbox([] { return ErrnoOf(fork()); }), EPERM);
  EXPECT_EQ(InSandbox([] {
              int done = 0;
              std::thread([&] { done = 7; }).join();
              return done;
            }),
            7);
}

TEST_F(SandboxTest, NobodyElsesProcessCanBeLookedInto) {
  EXPECT_EQ(InSandbox([] { return ErrnoOf(ptrace(PTRACE_ATTACH, getppid(), nullptr, nullptr)); }), EPERM);
  EXPECT_EQ(
      InSandbox([] { return ErrnoOf(syscall(SYS_process_vm_readv, getppid(), nullptr, 0, nullptr, 0, 0)); }),
      EPERM);
  EXPECT_EQ(InSandbox([] { return ErrnoOf(kill(getppid(), 0)); }), EPERM);
}

TEST_F(SandboxTest, NothingOfTheHostCanBeChanged) {
  EXPECT_EQ(InSandbox([] { return ErrnoOf(mount("none", "/nowhere", "tmpfs", 0, nullptr)); }), EPERM);
  EXPECT_EQ(InSandbox([] { return ErrnoOf(syscall(SYS_bpf, 0, nullptr, 0)); }), EPERM);
  EXPECT_EQ(InSandbox([] { return ErrnoOf(unshare(CLONE_NEWUSER)); }), EPERM);
}

TEST_F(SandboxTest, OnlySocketsOfTheKindsThatABrokerUsesCanBeMade) {
  EXPECT_EQ(InSandbox([] { return ErrnoOf(socket(AF_PACKET, SOCK_RAW, 0)); }), EAFNOSUPPORT);
  EXPECT_EQ(InSandbox([] { return ErrnoOf(socket(AF_ALG, SOCK_SEQPACKET, 0)); }), EAFNOSUPPORT);
  for (const int family : {AF_UNIX, AF_INET}) {
    EXPECT_EQ(InSandbox([family] { return ErrnoOf(socket(family, SOCK_STREAM, 0)); }), 0) << family;
  }
}

TEST_F(SandboxTest, WithoutItTheCallsAreTheKernelsToAnswer) {
  EXPECT_EQ(InGuardedChild({.sandbox = false}, [] { return ErrnoOf(kill(getppid(), 0)); }), 0);
}

TEST(ProcessGuardTest, ThereIsNoCoreDumpNoPrivilegeAndNoFileForOthers) {
  const auto child = [] {
    rlimit core = {};
    getrlimit(RLIMIT_CORE, &core);
    const bool good = core.rlim_max == 0 && umask(077) == 077 &&
                      prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 &&
                      (kSanitized || prctl(PR_GET_DUMPABLE) == 0);
    return good ? 0 : 1;
  };
  EXPECT_EQ(InGuardedChild({}, child), 0);
}

// A line of /proc/PID/status, without its name.
std::string StatusOf(pid_t pid, const std::string& name) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind(name + ":\t", 0) == 0) return line.substr(name.size() + 2);
  }
  return "no such line";
}

TEST(ProcessGuardTest, TheRealBrokerRunsWithoutPrivilegesInItsSandbox) {
  const TempFolder folder;
  Program broker({"broker/pylabhub-broker", "--port=0", "--state-dir=" + folder.path()});
  ASSERT_THAT(broker.ReadLine(), HasSubstr("listening on")) << broker.errors();
  EXPECT_EQ(StatusOf(broker.pid(), "NoNewPrivs"), "1");
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapAmb"}) {
    EXPECT_EQ(StatusOf(broker.pid(), set), "0000000000000000") << set;
  }
  EXPECT_EQ(StatusOf(broker.pid(), "Seccomp"), kSanitized ? "0" : "2");
  std::ifstream limits("/proc/" + std::to_string(broker.pid()) + "/limits");
  std::stringstream text;
  text << limits.rdbuf();
  EXPECT_THAT(text.str(), ::testing::ContainsRegex("Max core file size +0 +0"));
  broker.Signal(SIGTERM);
  EXPECT_EQ(broker.Wait(), 0);
  EXPECT_THAT(broker.errors(), HasSubstr("event=process_guarded"));
}

TEST(ProcessGuardTest, TheSandboxCanBeLeftOutByAFlag) {
  const TempFolder folder;
  Program broker({"broker/pylabhub-broker", "--port=0", "--no-sandbox", "--state-dir=" + folder.path()});
  ASSERT_THAT(broker.ReadLine(), HasSubstr("listening on")) << broker.errors();
  EXPECT_EQ(StatusOf(broker.pid(), "Seccomp"), "0");
  EXPECT_EQ(StatusOf(broker.pid(), "NoNewPrivs"), "1");
}

TEST(ProcessGuardTest, NeitherTheLogNorTheCommandLineHoldsAKey) {
  const TempFolder folder;
  Program broker({"broker/pylabhub-broker", "--port=0", "--state-dir=" + folder.path()});
  ASSERT_THAT(broker.ReadLine(), HasSubstr("listening on")) << broker.errors();
  std::ifstream arguments("/proc/" + std::to_string(broker.pid()) + "/cmdline");
  std::stringstream text;
  text << arguments.rdbuf() << broker.errors();
  EXPECT_THAT(text.str(), ::testing::Not(HasSubstr("PRIVATE KEY")));
  EXPECT_THAT(text.str(), HasSubstr("server.key"));
}

}  // namespace
}  // namespace pylabhub::broker
