// Finds processes that make no progress although they should.
//
// A stopped process is alive, and who needs it waits for it by design: nobody on its channel is judged meanwhile, and
// everybody's time begins anew. Who has the channel should write, the others should read; if nobody has it, whoever tries
// to get it should.
//
// Thread safety: thread-compatible.
#ifndef PYLABHUB_TESTS_CHAOS_STUCK_WATCH_H_
#define PYLABHUB_TESTS_CHAOS_STUCK_WATCH_H_

#include <cstdint>
#include <string>
#include <vector>

#include "tests/chaos/stage.h"

namespace pylabhub::chaos {

class StuckWatch {
 public:
  explicit StuckWatch(Stage& stage);

  // Looks at everybody, and kills who is stuck. To be called often: a gap means that this very process did not run, and
  // then nobody is judged.
  void Look();
  int stuck() const { return static_cast<int>(stuck_.size()); }
  // Who was stuck, in words.
  const std::vector<std::string>& stuck_parts() const { return stuck_; }

 private:
  bool ShouldGetOn(const Part& part) const;
  // Changes when it gets on.
  int64_t ProgressOf(const Part& part) const;

  struct Since {
    int64_t progress = 0;
    int64_t since_ns = 0;
  };

  Stage& stage_;
  std::vector<Since> since_;
  int64_t looked_ns_;
  std::vector<std::string> stuck_;
};

}  // namespace pylabhub::chaos

#endif  // PYLABHUB_TESTS_CHAOS_STUCK_WATCH_H_
