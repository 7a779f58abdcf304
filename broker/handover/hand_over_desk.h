// Where tickets, deposits and the directory meet: answers what is asked on the hand-over's socket, gives tickets to those who
// register, and tells producers what they have to do.
//
//   Register, ConsumerRegister  --ForProducer, ForConsumer-->  a ticket
//   the socket                  --Answer-->                    the ticket is used, memory comes or goes
//   the directory's events      --OnEvents-->                  who left loses its part
//   Heartbeat                   --TasksOf-->                   what to renew, to deposit again, to move on from
//
// A ticket counts for nothing by itself: whoever shows it must still hold what it was given for.
//
// Thread safety: thread-safe. `find` is called with no lock of the desk's held.
#ifndef PYLABHUB_BROKER_HANDOVER_HAND_OVER_DESK_H_
#define PYLABHUB_BROKER_HANDOVER_HAND_OVER_DESK_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "broker/channel_types.h"
#include "broker/handover/deposit_book.h"
#include "broker/handover/memory.h"
#include "broker/handover/ticket_book.h"
#include "broker/log_hook.h"
#include "broker/metrics.h"
#include "proto/handover/packet.h"
#include "proto/pylabhub/v1/broker.pb.h"
#include "proto/pylabhub/v1/hand_over.pb.h"

namespace pylabhub::broker {

// What somebody holds who comes with a ticket.
struct Holding {
  ChannelView channel = {};
  std::string identity = {};
  std::string group = {};  // a consumer's, as it stated it
};

// A deposit of which more requests are to come on the same connection.
struct PendingDeposit {
  std::string ticket = {};
  std::vector<Memory> memories = {};
};

class HandOverDesk {
 public:
  struct Options {
    std::string socket_path = {};
    absl::Duration ticket_ttl = absl::Seconds(10);
    DepositBudget budget = {};
    // How soon a producer learns what it has to do, about.
    absl::Duration heartbeat_interval = absl::Seconds(3);
    LogHook log = nullptr;
    // What the session holds now of what the ticket was given for; NOT_REGISTERED or another refusal if nothing.
    std::function<absl::StatusOr<Holding>(const TicketScope&)> find = nullptr;
    std::function<absl::Time()> now = nullptr;
  };

  // `metrics` outlives the desk.
  HandOverDesk(Options options, Metrics& metrics);

  const std::string& socket_path() const { return options_.socket_path; }

  // Whether the channel's memory is handed over.
  static bool Concerns(const ChannelView& channel);

  // For the session that has just registered the channel, or a consumer of it. For channels that this concerns.
  v1::HandOver ForProducer(const std::string& session_id, const ChannelView& channel);
  v1::HandOver ForConsumer(const std::string& session_id, const std::string& consumer_id,
                           const ChannelView& channel);

  // What the session has to do for the channels that it holds.
  std::vector<v1::HandOverTask> TasksOf(const std::string& session_id,
                                        const std::vector<ChannelView>& channels);

  void OnEvents(const std::vector<Event>& events);

  // Whether the channel's memory is here, and the kernel says that its producer is dead: nobody holds the lock that only a
  // producer can hold on its data. Its lease then need not be waited for.
  bool ProducerIsGone(const std::string& channel);

  struct Reply {
    v1::HandOverAnswer message = {};
    std::vector<handover::Descriptor> descriptors = {};
  };
  // `pending` is the connection's own, empty at first.
  Reply Answer(const v1::HandOverRequest& request, std::vector<handover::Descriptor> descriptors,
               const handover::PeerCredentials& peer, PendingDeposit& pending);

  // How many descriptors there may be in all, those of deposits that are not complete included.
  size_t max_descriptors() const { return options_.budget.max_descriptors; }

 private:
  // What happened, for the log.
  struct Audit {
    Holding holding = {};
    TicketScope scope = {};
    std::string memory = {};
  };

  absl::Status Deposit(const v1::DepositRequest& request, std::vector<handover::Descriptor> descriptors,
                       const handover::PeerCredentials& peer, PendingDeposit& pending, Audit& audit);
  absl::Status Finish(PendingDeposit pending, const handover::PeerCredentials& peer, Audit& audit);
  absl::Status Inherit(const v1::InheritRequest& request, const handover::PeerCredentials& peer, Reply& reply,
                       Audit& audit);
  absl::Status Collect(const v1::CollectRequest& request, const handover::PeerCredentials& peer, Reply& reply,
                       Audit& audit);
  // What a ticket is for, and what its session holds by it: both into `audit`.
  absl::Status Admit(const std::string& ticket, TicketPurpose purpose, const handover::PeerCredentials& peer,
                     Audit& audit);
  absl::StatusOr<TicketScope> CheckTicket(const std::string& ticket, TicketPurpose purpose,
                                          const handover::PeerCredentials& peer);
  v1::HandOver HandOverFor(const TicketScope& scope);
  void Record(absl::string_view method, const absl::Status& status, const handover::PeerCredentials& peer,
              const Audit& audit);

  const Options options_;
  Metrics& metrics_;
  absl::Mutex mutex_;
  TicketBook tickets_ ABSL_GUARDED_BY(mutex_);
  DepositBook deposits_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_HANDOVER_HAND_OVER_DESK_H_
