/* The data plane for C, and for every language that can call C.
 *
 *   plh_producer_options options;
 *   plh_producer_options_init(&options);
 *   options.channel = "camera.left";
 *   options.slot_bytes = 1 << 20;
 *   plh_error error;
 *   plh_producer* producer = plh_producer_create(&options, &error);
 *   if (producer == NULL) { fprintf(stderr, "%s\n", error.message); ... }
 *   plh_write_slot slot;
 *   if (plh_producer_acquire(producer, 1000000000, &slot) == PLH_OK) {
 *     size_t n = read_camera(slot.payload, slot.payload_bytes);
 *     plh_producer_commit(producer, n);
 *   }
 *   plh_producer_destroy(producer);
 *
 * The semantics are those of data_block_producer.h, data_block_consumer.h and wait_set.h; what is said there about
 * threads, time, fork and processes that die holds here too. In short: a handle belongs to one thread at a time; a producer
 * or consumer has at most one slot or batch at a time; nothing here throws, and nothing but memory exhaustion ends the
 * process.
 *
 * Names:   all begin with plh_ or PLH_.
 * Times:   int64_t nanoseconds; timeouts count from the call. PLH_FOREVER waits for ever, 0 does not wait.
 * Strings: UTF-8 that ends with NUL. Those that are passed in are copied; those that come out live as long as the handle,
 *          or (where it says so) until it moves to another segment.
 * Errors:  calls that are made seldom take a plh_error, which may be NULL, and fill it in when they fail. Calls that are made
 *          for each slot return a plh_result. A call with a handle that holds no slot where one is needed answers
 *          PLH_NO_SLOT; NULL handles are PLH_NO_SLOT too, or an error.
 * ABI:     structs begin with struct_bytes, which their _init function sets: a later version appends members, and takes the
 *          defaults for those that an older caller does not have. Members and functions are never removed or changed, numbers
 *          never reused, within one PLH_ABI_VERSION; plh_abi_version() says what the library has. The shared library is
 *          libpylabhub_shm.so, and exports nothing but what is declared here. */
#ifndef PYLABHUB_SHM_C_API_H_
#define PYLABHUB_SHM_C_API_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define PLH_EXPORT __attribute__((visibility("default")))
#else
#define PLH_EXPORT
#endif

#define PLH_ABI_VERSION 1
#define PLH_FOREVER INT64_MAX

/* PLH_ABI_VERSION of the library that is loaded. */
PLH_EXPORT uint32_t plh_abi_version(void);

/* What a call that is made for each slot answers. */
typedef enum plh_result {
  PLH_OK = 0,
  PLH_TIMEOUT = 1,         /* nothing happened before the deadline; try again */
  PLH_PRODUCER_CLOSED = 2, /* everything was read, and the producer has closed the channel */
  PLH_PRODUCER_DEAD = 3,   /* everything was read, and the producer died without closing the channel */
  PLH_OVERRUN = 4,         /* the slot changed while it was held; what was read is not to be trusted */
  PLH_CORRUPT = 5,         /* a slot made no sense, or failed its checksum; it was skipped */
  PLH_TOO_LARGE = 6,       /* more bytes were committed than a slot holds; the slot was aborted */
  PLH_CUT_OFF = 7,         /* this consumer was too slow; destroy it and open the channel again */
  PLH_FORKED = 8,          /* the handle belongs to the parent of this process */
  PLH_NO_CHECKSUM = 9,     /* the slot has none to verify */
  PLH_NO_SLOT = 10, /* the handle holds no slot, or it holds one already, or an argument makes no sense */
  PLH_NO_ZONE = 11, /* the channel has no zone */
  PLH_WOKEN = 12    /* plh_wait_set_wake was called */
} plh_result;

/* "timeout" for PLH_TIMEOUT and so on. */
PLH_EXPORT const char* plh_result_name(plh_result result);

/* Why a call failed that is made seldom. Numbers as in absl::StatusCode and gRPC. */
typedef enum plh_code {
  PLH_CODE_OK = 0,
  PLH_CODE_INVALID_ARGUMENT = 3,
  PLH_CODE_DEADLINE_EXCEEDED = 4,
  PLH_CODE_NOT_FOUND = 5,
  PLH_CODE_ALREADY_EXISTS = 6,
  PLH_CODE_PERMISSION_DENIED = 7,
  PLH_CODE_RESOURCE_EXHAUSTED = 8,
  PLH_CODE_FAILED_PRECONDITION = 9,
  PLH_CODE_OUT_OF_RANGE = 11,
  PLH_CODE_UNAVAILABLE = 14
} plh_code;

typedef struct plh_error {
  int32_t code;      /* plh_code; another number is another absl::StatusCode */
  char message[508]; /* what is wrong and what to do, ends with NUL */
} plh_error;

typedef enum plh_policy {
  PLH_LATEST_ONLY = 1,
  PLH_PUBLISH_SUBSCRIBE = 2,
  PLH_SINGLE_READER = 3,
  PLH_SYNC_READER = 4,
  PLH_PIPELINE = 5
} plh_policy;

typedef enum plh_checksum {
  PLH_CHECKSUM_NONE = 1,
  PLH_CHECKSUM_MANUAL = 2,
  PLH_CHECKSUM_ENFORCED = 3
} plh_checksum;
typedef enum plh_order { PLH_ORDER_DEFAULT = 0, PLH_ORDER_NEXT = 1, PLH_ORDER_LATEST = 2 } plh_order;
typedef enum plh_when_slow {
  PLH_SLOW_BLOCK = 1,
  PLH_SLOW_DROP_BACKLOG = 2,
  PLH_SLOW_CUT_OFF = 3
} plh_when_slow;
typedef enum plh_start { PLH_START_NEWEST = 0, PLH_START_OLDEST = 1, PLH_START_SEQUENCE = 2 } plh_start;

/* ---- Producer ---- */

typedef struct plh_producer plh_producer;

/* See ChannelConfig in channel_config.h. Zeros and NULLs are defaults, except where _init sets something else. */
typedef struct plh_producer_options {
  uint64_t struct_bytes;
  const char* channel;
  uint32_t policy;         /* plh_policy; _init: PLH_SYNC_READER */
  uint32_t capacity_slots; /* 0: 64. 1 is a single buffer, 2 a double buffer */
  uint64_t slot_bytes;     /* 0: the schema's record_bytes */
  const char* schema;      /* canonical text, as plh_consumer_schema gives it; NULL: opaque */
  uint32_t max_consumers;
  uint32_t max_pins;
  uint32_t min_consumers;
  uint32_t checksum; /* plh_checksum; _init: PLH_CHECKSUM_NONE */
  const char* const* groups;
  uint32_t group_count;
  uint32_t reserved;
  int64_t max_patience_ns; /* _init: PLH_FOREVER */
  uint64_t zone_bytes;
  const char* zone_schema;
  int64_t spin_ns;       /* how long a wait looks before it sleeps; _init: 10,000. PLH_FOREVER never sleeps */
  const char* directory; /* NULL: /dev/shm */
} plh_producer_options;

PLH_EXPORT void plh_producer_options_init(plh_producer_options* options);

/* Creates the channel, or takes it over from a producer that is gone. NULL, and `error`, if that fails. */
PLH_EXPORT plh_producer* plh_producer_create(const plh_producer_options* options, plh_error* error);
/* Aborts what is still held, and closes the channel. NULL is ignored. */
PLH_EXPORT void plh_producer_destroy(plh_producer* producer);

typedef struct plh_write_slot {
  void* payload; /* aligned to 64 */
  size_t payload_bytes;
} plh_write_slot;

/* Waits for a slot to write: PLH_OK, PLH_TIMEOUT, PLH_FORKED. */
PLH_EXPORT plh_result plh_producer_acquire(plh_producer* producer, int64_t timeout_ns, plh_write_slot* slot);
/* Publishes the first `payload_bytes` bytes of the slot. */
PLH_EXPORT plh_result plh_producer_commit(plh_producer* producer, size_t payload_bytes);
/* On a channel of PLH_CHECKSUM_MANUAL: the slot is committed with a checksum. */
PLH_EXPORT plh_result plh_producer_add_checksum(plh_producer* producer);
/* Gives the slot, or the batch, back unseen; it uses up no sequence number. */
PLH_EXPORT void plh_producer_abort(plh_producer* producer);

/* Up to `slots` slots at once. `*acquired`, which may be more than 0 only with PLH_OK, is how many there are. */
PLH_EXPORT plh_result plh_producer_acquire_batch(plh_producer* producer, size_t slots, int64_t timeout_ns,
                                                 size_t* acquired);
/* Slot `index` of the batch. */
PLH_EXPORT plh_result plh_producer_batch_slot(plh_producer* producer, size_t index, plh_write_slot* slot);
/* Publishes the first `count` slots of the batch, `payload_bytes[i]` bytes of number i, and aborts the others. */
PLH_EXPORT plh_result plh_producer_commit_batch(plh_producer* producer, const size_t* payload_bytes,
                                                size_t count);

/* Publishes `bytes` bytes as the zone's next version; what is left of the zone is zero. Returns a plh_code. */
PLH_EXPORT int32_t plh_producer_write_zone(plh_producer* producer, const void* zone, size_t bytes,
                                           plh_error* error);

typedef struct plh_producer_stats {
  uint64_t struct_bytes; /* set by the caller: sizeof(plh_producer_stats) */
  uint64_t committed_slots;
  uint64_t committed_bytes;
  uint64_t aborted_slots;
  uint64_t waits;
  uint64_t blocked_ns;
  uint64_t wakes;
  uint64_t evicted_consumers;
  uint64_t dropped_backlogs;
  uint64_t cut_off_consumers;
  uint64_t invalid_peer_values;
} plh_producer_stats;

PLH_EXPORT void plh_producer_get_stats(const plh_producer* producer, plh_producer_stats* stats);
/* Consumers that are attached and live. */
PLH_EXPORT uint32_t plh_producer_consumer_count(const plh_producer* producer);
PLH_EXPORT uint64_t plh_producer_next_sequence(const plh_producer* producer);

/* ---- Consumer ---- */

typedef struct plh_consumer plh_consumer;

/* See ConsumerOptions in data_block_consumer.h. */
typedef struct plh_consumer_options {
  uint64_t struct_bytes;
  const char* channel;
  uint32_t order; /* plh_order */
  uint32_t start; /* plh_start */
  uint64_t start_sequence;
  uint32_t when_slow; /* plh_when_slow; _init: PLH_SLOW_BLOCK */
  uint32_t max_batch; /* _init: 1 */
  int64_t patience_ns;
  const char* group;           /* pipeline only; NULL: the channel's only one */
  const char* expected_schema; /* canonical text; NULL: any */
  int64_t open_timeout_ns;
  int64_t spin_ns;
  const char* directory;
  const char*
      expected_zone_schema; /* canonical text: the channel must have such a zone; NULL: any, or none */
} plh_consumer_options;

PLH_EXPORT void plh_consumer_options_init(plh_consumer_options* options);

/* Attaches to the channel. NULL, and `error`, if that fails. */
PLH_EXPORT plh_consumer* plh_consumer_open(const plh_consumer_options* options, plh_error* error);
/* Releases what is still held, and leaves. NULL is ignored. */
PLH_EXPORT void plh_consumer_destroy(plh_consumer* consumer);

typedef struct plh_read_slot {
  const void* payload;
  size_t payload_bytes;
  uint64_t sequence;
  int64_t timestamp_ns; /* since the Unix epoch */
  uint64_t missed_slots;
  uint32_t redelivered; /* 1: another member of the group had it and died */
  uint32_t reserved;
} plh_read_slot;

/* Waits for a slot to read. What `slot` points to does not change until it is released. */
PLH_EXPORT plh_result plh_consumer_acquire(plh_consumer* consumer, int64_t timeout_ns, plh_read_slot* slot);
/* Compares the slot (not a batch) with its checksum: PLH_OK, PLH_CORRUPT, PLH_NO_CHECKSUM, PLH_FORKED. */
PLH_EXPORT plh_result plh_consumer_verify(plh_consumer* consumer);
/* Gives the slot, or the batch, back: PLH_OK, PLH_OVERRUN, PLH_FORKED, PLH_NO_SLOT. */
PLH_EXPORT plh_result plh_consumer_release(plh_consumer* consumer);
/* Up to `slots` slots at once, written to `batch`; `*acquired` is how many there are. */
PLH_EXPORT plh_result plh_consumer_acquire_batch(plh_consumer* consumer, plh_read_slot* batch, size_t slots,
                                                 int64_t timeout_ns, size_t* acquired);

/* After PLH_PRODUCER_CLOSED or PLH_PRODUCER_DEAD: waits for the channel's next producer and goes on with its segment.
 * Returns a plh_code: PLH_CODE_OK, PLH_CODE_DEADLINE_EXCEEDED (none yet), or what else went wrong. */
PLH_EXPORT int32_t plh_consumer_follow(plh_consumer* consumer, int64_t timeout_ns, plh_error* error);
/* 1 while the producer lives and has not closed the channel. */
PLH_EXPORT int plh_consumer_producer_is_alive(const plh_consumer* consumer);

/* What the producer decided; valid until Follow succeeds. */
PLH_EXPORT const char* plh_consumer_schema(const plh_consumer* consumer);
/* 32 hexadecimal digits. */
PLH_EXPORT const char* plh_consumer_segment_id(const plh_consumer* consumer);
PLH_EXPORT uint64_t plh_consumer_slot_bytes(const plh_consumer* consumer);
PLH_EXPORT uint32_t plh_consumer_capacity_slots(const plh_consumer* consumer);
PLH_EXPORT uint32_t plh_consumer_policy(const plh_consumer* consumer); /* plh_policy */

/* Bytes of the channel's zone; 0 if it has none. */
PLH_EXPORT uint64_t plh_consumer_zone_bytes(const plh_consumer* consumer);
/* Copies the newest version of the zone, whole, to `zone`, as many bytes as both have. `*version` is 0, and nothing is copied,
 * before the producer has written it. Returns a plh_code. */
PLH_EXPORT int32_t plh_consumer_read_zone(const plh_consumer* consumer, void* zone, size_t bytes,
                                          uint64_t* version, plh_error* error);
/* Waits for a later version than `after_version`: PLH_OK, PLH_TIMEOUT, PLH_PRODUCER_CLOSED, PLH_PRODUCER_DEAD, PLH_NO_ZONE. */
PLH_EXPORT plh_result plh_consumer_wait_for_zone(const plh_consumer* consumer, uint64_t after_version,
                                                 int64_t timeout_ns);

typedef struct plh_consumer_stats {
  uint64_t struct_bytes; /* set by the caller: sizeof(plh_consumer_stats) */
  uint64_t received_slots;
  uint64_t received_bytes;
  uint64_t missed_slots;
  uint64_t waits;
  uint64_t sleeps;
  uint64_t corrupt_slots;
  uint64_t redelivered_slots;
} plh_consumer_stats;

PLH_EXPORT void plh_consumer_get_stats(const plh_consumer* consumer, plh_consumer_stats* stats);

/* ---- One thread that waits on many consumers ---- */

typedef struct plh_wait_set plh_wait_set;

/* `spin_ns` as in the options of a consumer. */
PLH_EXPORT plh_wait_set* plh_wait_set_create(int64_t spin_ns);
/* Members are not destroyed with it. NULL is ignored. */
PLH_EXPORT void plh_wait_set_destroy(plh_wait_set* set);
/* The highest priority is told first. `key` is the caller's own. Returns a plh_code. */
PLH_EXPORT int32_t plh_wait_set_add(plh_wait_set* set, plh_consumer* consumer, int32_t priority, uint64_t key,
                                    plh_error* error);
/* A consumer that is destroyed leaves by itself. */
PLH_EXPORT int32_t plh_wait_set_remove(plh_wait_set* set, plh_consumer* consumer, plh_error* error);
/* PLH_OK: `*key` is that of a member that has something to acquire, or whose producer is gone. PLH_TIMEOUT, PLH_WOKEN,
 * PLH_FORKED. */
PLH_EXPORT plh_result plh_wait_set_wait(plh_wait_set* set, int64_t timeout_ns, uint64_t* key);
/* Makes a wait return PLH_WOKEN: this one or the next. May be called from any thread, and from a signal handler. */
PLH_EXPORT void plh_wait_set_wake(plh_wait_set* set);

#ifdef __cplusplus
}
#endif

#endif /* PYLABHUB_SHM_C_API_H_ */
