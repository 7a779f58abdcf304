// The steps of the protocol, by name, for tests that end a process at each of them.
//
// A point stands between every two stores to shared memory, and between every two system calls that change what
// others see. Its name says what has just been done: "ring.commit.stamped". Without PYLABHUB_CRASH_POINTS, as it is
// shipped, a point is nothing at all; //tests/chaos builds the library a second time with it.
//
// Thread safety: the hook is set before the process has handles or a second thread.
#ifndef PYLABHUB_SHM_OS_CRASH_POINT_H_
#define PYLABHUB_SHM_OS_CRASH_POINT_H_

namespace pylabhub::shm {

// Called with the name of each point that is passed. May end the process, or wait.
using CrashHook = void (*)(const char* point);

#ifdef PYLABHUB_CRASH_POINTS

inline constexpr bool kHasCrashPoints = true;
inline CrashHook crash_hook = nullptr;
inline void SetCrashHook(CrashHook hook) { crash_hook = hook; }

#define PYLABHUB_CRASH_POINT(point)                                                 \
  do {                                                                              \
    if (::pylabhub::shm::crash_hook != nullptr) ::pylabhub::shm::crash_hook(point); \
  } while (false)

#else

inline constexpr bool kHasCrashPoints = false;
inline void SetCrashHook(CrashHook /*hook*/) {}

#define PYLABHUB_CRASH_POINT(point) static_cast<void>(0)

#endif

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_OS_CRASH_POINT_H_
