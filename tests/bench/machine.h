// What the benches need of the machine they run on.
#pragma once

#include "absl/status/status.h"

namespace pylabhub::bench {

// Gives this process, and the children it starts from now on, a /dev/shm and a /tmp of their own, empty and
// gone with them. A peer that uses fixed names there then meets nobody else's files and leaves none.
//
// Files that are open stay open. The caller must be single-threaded.
// Errors: says that the folders stay public, and why. Nothing has changed then.
absl::Status HidePublicFolders();

// Whose time the processors spent, since this object was made. What others took is what makes figures
// doubtful.
class ProcessorTime {
 public:
  ProcessorTime();

  // What the host gave to others while this machine wanted to run: a share of all the processors' time, 0
  // to 1.
  double StolenShare() const;
  // What processes other than this one and its children, as far as these have ended, used; a share as above.
  double OthersShare() const;

 private:
  struct Reading {
    double total = 0;  // seconds, over all processors
    double busy = 0;   // by processes and the kernel
    double stolen = 0;
    double ours = 0;
  };
  static Reading Now();

  Reading start_;
};

}  // namespace pylabhub::bench
