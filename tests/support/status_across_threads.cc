// For tests that hand an absl::Status from thread to thread. Debian's abseil is not built for ThreadSanitizer, which therefore does
// not see that its last reference is given up after all others, and takes freeing it for a race.
#ifdef __SANITIZE_THREAD__
extern "C" const char* __tsan_default_suppressions() { return "race:absl::*::Status::Unref\n"; }
#endif
