// Loaded into a program before its libraries (LD_PRELOAD): lets a test set the program's clock, as an administrator sets a
// host's. The file that PYLABHUB_CLOCK_STEP names holds one int64_t: nanoseconds that are added to the time of day.
//
// As with a real step, what waits on a futex until a time of day waits for that time of day: one that is already asleep sleeps
// longer if the clock is set back, and shorter if it is set forward. What waits on the steady clock notices nothing.
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <cstdlib>

namespace {

constexpr int64_t kSecond = 1'000'000'000;
// How soon a sleeper hears of a step.
constexpr int64_t kLook = 5'000'000;

template <typename Function>
Function Next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

const std::atomic<int64_t>& Step() {
  static const std::atomic<int64_t>* const step = [] {
    const char* file = getenv("PYLABHUB_CLOCK_STEP");
    const int descriptor = file == nullptr ? -1 : open(file, O_RDONLY | O_CLOEXEC);
    void* mapped = mmap(nullptr, sizeof(int64_t), PROT_READ, MAP_SHARED, descriptor, 0);
    if (mapped == MAP_FAILED) abort();
    return static_cast<const std::atomic<int64_t>*>(mapped);
  }();
  return *step;
}

timespec ToTimespec(int64_t nanoseconds) {
  return {.tv_sec = nanoseconds / kSecond, .tv_nsec = nanoseconds % kSecond};
}

int64_t TimeOfDay() {
  static const auto next = Next<int (*)(clockid_t, timespec*)>("clock_gettime");
  timespec now = {};
  next(CLOCK_REALTIME, &now);
  return now.tv_sec * kSecond + now.tv_nsec + Step().load();
}

bool WaitsForATimeOfDay(long number, const long (&arguments)[6]) {
  const long operation = arguments[1];
  return number == SYS_futex && (operation & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET &&
         (operation & FUTEX_CLOCK_REALTIME) != 0 && arguments[3] != 0;
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* out) {
  static const auto next = Next<int (*)(clockid_t, timespec*)>("clock_gettime");
  if (clock != CLOCK_REALTIME) return next(clock, out);
  *out = ToTimespec(TimeOfDay());
  return 0;
}

int gettimeofday(timeval* out, void*) {
  const int64_t now = TimeOfDay();
  *out = {.tv_sec = now / kSecond, .tv_usec = now % kSecond / 1000};
  return 0;
}

time_t time(time_t* out) {
  const time_t now = TimeOfDay() / kSecond;
  if (out != nullptr) *out = now;
  return now;
}

long syscall(long number, ...) {
  static const auto next = Next<long (*)(long, long, long, long, long, long, long)>("syscall");
  long a[6];
  va_list list;
  va_start(list, number);
  for (long& argument : a) argument = va_arg(list, long);
  va_end(list);
  if (!WaitsForATimeOfDay(number, a)) return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
  const auto* end = std::bit_cast<const timespec*>(a[3]);
  while (true) {
    const int64_t left = end->tv_sec * kSecond + end->tv_nsec - TimeOfDay();
    timespec now = {};
    clock_gettime(CLOCK_MONOTONIC, &now);
    const timespec slice_end =
        ToTimespec(now.tv_sec * kSecond + now.tv_nsec + std::clamp<int64_t>(left, 0, kLook));
    // Without FUTEX_CLOCK_REALTIME, a bitset's wait ends at a time of the steady clock.
    const long result = next(number, a[0], a[1] & ~FUTEX_CLOCK_REALTIME, a[2],
                             reinterpret_cast<long>(&slice_end), a[4], a[5]);
    if (result == 0 || errno != ETIMEDOUT || left <= kLook) return result;
  }
}

}  // extern "C"
