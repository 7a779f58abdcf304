// All benches with all subjects; what tests/bench/run.sh runs. Needs the packages of `third_party/install.sh
// bench`.
#include "tests/bench/bench_main.h"
#include "tests/bench/iceoryx_subject.h"
#include "tests/bench/limit_subject.h"
#include "tests/bench/message_queue_subject.h"
#include "tests/bench/pylabhub_subject.h"
#include "tests/bench/ring_subject.h"
#include "tests/bench/unix_socket_subject.h"
#include "tests/bench/zeromq_subject.h"

int main(int argc, char** argv) {
  using namespace pylabhub::bench;
  return BenchMain(argc, argv,
                   {LimitSubject(), RingSubject(), PylabhubSubject(), IceoryxSubject(), ZeromqSubject(),
                    MessageQueueSubject(), UnixSocketSubject()});
}
