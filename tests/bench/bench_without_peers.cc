// The benches with what is ours and the machine's alone: builds without any peer installed.
#include "tests/bench/bench_main.h"
#include "tests/bench/limit_subject.h"
#include "tests/bench/pylabhub_subject.h"
#include "tests/bench/ring_subject.h"

int main(int argc, char** argv) {
  using namespace pylabhub::bench;
  return BenchMain(argc, argv, {LimitSubject(), RingSubject(), PylabhubSubject()});
}
