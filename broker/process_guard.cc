#include "broker/process_guard.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace pylabhub::broker {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
// At its end the address sanitizer clones itself to look for leaks, and traces the original.
constexpr bool kTracesItself = true;
#else
constexpr bool kTracesItself = false;
#endif

// No broker calls these, whatever it does. Names, not numbers: libseccomp leaves out what this architecture lacks.
constexpr const char* kRefusedCalls[] = {
    // Programs and processes. (fork is clone; see below.)
    "execve", "execveat", "fork", "vfork", "setns", "unshare", "personality",
    // Into other processes.
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd",
    "pidfd_send_signal", "kill", "tkill",
    // Of the host.
    "mount", "umount2", "umount", "pivot_root", "chroot", "move_mount", "open_tree", "fsopen", "fsmount",
    "fsconfig", "fspick", "mount_setattr", "swapon", "swapoff", "reboot", "kexec_load", "kexec_file_load",
    "init_module", "finit_module", "delete_module", "sethostname", "setdomainname", "settimeofday",
    "clock_settime", "clock_adjtime", "adjtimex", "stime", "acct", "quotactl", "syslog", "vhangup", "iopl",
    "ioperm", "mknod", "mknodat",
    // Users and privileges.
    "setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setfsuid", "setfsgid", "setgroups",
    "capset",
    // Where holes in kernels have been.
    "bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register",
    "add_key", "request_key", "keyctl", "name_to_handle_at", "open_by_handle_at", "fanotify_init",
    "lookup_dcookie", "uselib", "modify_ldt", "vmsplice"};

// Bits of the kinds that sockets may be of: others are refused.
constexpr std::array<int, 4> kSocketFamilies = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};
constexpr int kHighestFamily = 64;

struct ReleaseFilter {
  void operator()(void* filter) const { seccomp_release(filter); }
};
using FilterPtr = std::unique_ptr<std::remove_pointer_t<scmp_filter_ctx>, ReleaseFilter>;

int AddRefusals(scmp_filter_ctx filter) {
  for (const char* name : kRefusedCalls) {
    const int call = seccomp_syscall_resolve_name(name);
    if (call == __NR_SCMP_ERROR) continue;
    if (const int error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), call, 0); error != 0) return error;
  }
  // A thread may be made, a process may not. What clone3 is told cannot be looked at, and without it glibc uses clone.
  if (const int error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0); error != 0)
    return error;
  if (const int error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                                         SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
      error != 0) {
    return error;
  }
  for (int family = 0; family < kHighestFamily; ++family) {
    bool is_used = false;
    for (const int used : kSocketFamilies) is_used = is_used || used == family;
    if (is_used) continue;
    const int error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
                                       SCMP_A0(SCMP_CMP_EQ, static_cast<scmp_datum_t>(family)));
    if (error != 0) return error;
  }
  return seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
                          SCMP_A0(SCMP_CMP_GE, static_cast<scmp_datum_t>(kHighestFamily)));
}

// Drops every capability from every set, but `kept` (a capability's number, or -1), which stays in use. 0, or an errno.
int DropCapabilities(int kept) {
  // While there is the right to: from what a program that is started could have.
  for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; ++capability)
    prctl(PR_CAPBSET_DROP, capability);
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {};
  if (syscall(SYS_capget, &header, sets) != 0) return errno;
  for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; ++i) {
    const uint32_t mask = kept >= 0 && CAP_TO_INDEX(kept) == i ? CAP_TO_MASK(kept) : 0;
    sets[i].permitted &= mask;
    sets[i].effective = sets[i].permitted;
    sets[i].inheritable = 0;
  }
  return syscall(SYS_capset, &header, sets) == 0 ? 0 : errno;
}

}  // namespace

absl::Status EnterSandbox() {
  const FilterPtr filter(seccomp_init(SCMP_ACT_ALLOW));
  if (filter == nullptr) return absl::UnavailableError("libseccomp made no filter");
  // Of a call by another architecture's numbers.
  seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(EPERM));
  int error = AddRefusals(filter.get());
  if (error == 0) error = seccomp_load(filter.get());
  if (error == 0) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("the kernel takes no filter of system calls: ", std::strerror(-error)));
}

void GuardProcess(const GuardOptions& options, const LogHook& log) {
  std::vector<std::string> left_out;
  const auto note = [&left_out](bool done, const char* what) {
    if (!done) left_out.push_back(absl::StrCat(what, ": ", std::strerror(errno)));
  };
  umask(077);
  const rlimit none = {.rlim_cur = 0, .rlim_max = 0};
  note(setrlimit(RLIMIT_CORE, &none) == 0, "no core dumps");
  note(kTracesItself || prctl(PR_SET_DUMPABLE, 0) == 0, "not to be traced");
  note(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no new privileges");
  errno = DropCapabilities(options.keep_bind_service ? CAP_NET_BIND_SERVICE : -1);
  note(errno == 0, "no capabilities");
  absl::Status sandbox = absl::OkStatus();
  if (options.sandbox && !kTracesItself) sandbox = EnterSandbox();
  if (!sandbox.ok()) left_out.push_back(absl::StrCat("sandbox: ", sandbox.message()));
  log({left_out.empty() ? LogLevel::kInfo : LogLevel::kWarning,
       "process_guarded",
       {{"sandbox", options.sandbox && !kTracesItself && sandbox.ok() ? "on" : "off"},
        {"left_out", absl::StrJoin(left_out, "; ")}}});
}

}  // namespace pylabhub::broker
