/* A C program that uses everything in c_api.h. Says what failed, and exits 1. */
#define _GNU_SOURCE
#include "shm/c_api.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int failures = 0;

#define CHECK(condition)                                                      \
  do {                                                                        \
    if (!(condition)) {                                                       \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      ++failures;                                                             \
    }                                                                         \
  } while (0)

static const int64_t kSecond = 1000000000;
static char folder[64];

static plh_producer_options producer_options(void) {
  plh_producer_options options;
  plh_producer_options_init(&options);
  options.channel = "c.test";
  options.slot_bytes = 64;
  options.capacity_slots = 4;
  options.directory = folder;
  return options;
}

static plh_consumer_options consumer_options(void) {
  plh_consumer_options options;
  plh_consumer_options_init(&options);
  options.channel = "c.test";
  options.directory = folder;
  return options;
}

static plh_producer* create(const plh_producer_options* options) {
  plh_error error;
  plh_producer* producer = plh_producer_create(options, &error);
  if (producer == NULL) {
    fprintf(stderr, "create: %s\n", error.message);
    exit(1);
  }
  return producer;
}

static plh_consumer* open_with(const plh_consumer_options* options) {
  plh_error error;
  plh_consumer* consumer = plh_consumer_open(options, &error);
  if (consumer == NULL) {
    fprintf(stderr, "open: %s\n", error.message);
    exit(1);
  }
  return consumer;
}

static plh_result put(plh_producer* producer, const char* text) {
  plh_write_slot slot;
  const plh_result result = plh_producer_acquire(producer, 0, &slot);
  if (result != PLH_OK) return result;
  memcpy(slot.payload, text, strlen(text));
  return plh_producer_commit(producer, strlen(text));
}

static void slots_pass(void) {
  plh_producer_options options = producer_options();
  plh_producer* producer = create(&options);
  plh_consumer_options reading = consumer_options();
  plh_consumer* consumer = open_with(&reading);
  plh_read_slot slot;
  CHECK(plh_consumer_acquire(consumer, 0, &slot) == PLH_TIMEOUT);
  CHECK(put(producer, "hello") == PLH_OK);
  CHECK(plh_consumer_acquire(consumer, kSecond, &slot) == PLH_OK);
  CHECK(slot.payload_bytes == 5 && memcmp(slot.payload, "hello", 5) == 0);
  CHECK(slot.sequence == 0 && slot.missed_slots == 0 && slot.timestamp_ns > 0);
  CHECK(plh_consumer_acquire(consumer, 0, &slot) == PLH_NO_SLOT);
  CHECK(plh_consumer_verify(consumer) == PLH_NO_CHECKSUM);
  CHECK(plh_consumer_release(consumer) == PLH_OK);
  CHECK(plh_consumer_release(consumer) == PLH_NO_SLOT);
  for (int i = 0; i < 4; ++i) CHECK(put(producer, "x") == PLH_OK);
  CHECK(put(producer, "full") == PLH_TIMEOUT);
  CHECK(plh_producer_next_sequence(producer) == 5);
  CHECK(plh_producer_consumer_count(producer) == 1);
  CHECK(plh_consumer_slot_bytes(consumer) == 64);
  CHECK(plh_consumer_capacity_slots(consumer) == 4);
  CHECK(plh_consumer_policy(consumer) == PLH_SYNC_READER);
  CHECK(strlen(plh_consumer_segment_id(consumer)) == 32);
  CHECK(plh_consumer_schema(consumer)[0] != '\0');
  CHECK(plh_consumer_producer_is_alive(consumer) == 1);

  plh_producer_stats written = {.struct_bytes = sizeof(written)};
  plh_producer_get_stats(producer, &written);
  CHECK(written.committed_slots == 5 && written.committed_bytes == 9 && written.waits == 1);
  plh_consumer_stats read = {.struct_bytes = sizeof(read)};
  plh_consumer_get_stats(consumer, &read);
  CHECK(read.received_slots == 1 && read.received_bytes == 5);

  plh_producer_destroy(producer);
  for (int i = 0; i < 4; ++i) {
    CHECK(plh_consumer_acquire(consumer, kSecond, &slot) == PLH_OK);
    CHECK(plh_consumer_release(consumer) == PLH_OK);
  }
  CHECK(plh_consumer_acquire(consumer, kSecond, &slot) == PLH_PRODUCER_CLOSED);
  CHECK(plh_consumer_producer_is_alive(consumer) == 0);
  plh_consumer_destroy(consumer);
}

static void batches_pass(void) {
  plh_producer_options options = producer_options();
  plh_producer* producer = create(&options);
  plh_consumer_options reading = consumer_options();
  reading.max_batch = 4;
  plh_consumer* consumer = open_with(&reading);
  size_t count = 0;
  CHECK(plh_producer_acquire_batch(producer, 3, 0, &count) == PLH_OK && count == 3);
  plh_write_slot slot;
  size_t bytes[3];
  for (size_t i = 0; i < 3; ++i) {
    CHECK(plh_producer_batch_slot(producer, i, &slot) == PLH_OK);
    memset(slot.payload, (int)('a' + i), 2);
    bytes[i] = 2;
  }
  CHECK(plh_producer_batch_slot(producer, 3, &slot) == PLH_NO_SLOT);
  CHECK(plh_producer_commit_batch(producer, bytes, 4) == PLH_NO_SLOT);
  CHECK(plh_producer_commit_batch(producer, bytes, 3) == PLH_OK);
  plh_read_slot slots[8];
  CHECK(plh_consumer_acquire_batch(consumer, slots, 8, kSecond, &count) == PLH_OK && count == 3);
  CHECK(memcmp(slots[2].payload, "cc", 2) == 0 && slots[2].sequence == 2);
  CHECK(plh_consumer_release(consumer) == PLH_OK);
  CHECK(plh_producer_acquire_batch(producer, 3, 0, &count) == PLH_OK);
  plh_producer_abort(producer);
  CHECK(plh_producer_next_sequence(producer) == 3);
  /* Handles that hold something may be destroyed. */
  CHECK(plh_producer_acquire_batch(producer, 3, 0, &count) == PLH_OK);
  CHECK(put(producer, "no") == PLH_NO_SLOT);
  plh_producer_destroy(producer);
  plh_consumer_destroy(consumer);
}

static void bad_calls_say_what_is_wrong(void) {
  plh_error error;
  plh_producer_options options = producer_options();
  options.channel = "No Such Name";
  CHECK(plh_producer_create(&options, &error) == NULL);
  CHECK(error.code == PLH_CODE_INVALID_ARGUMENT && strstr(error.message, "No Such Name") != NULL);
  options = producer_options();
  options.policy = 257;
  CHECK(plh_producer_create(&options, &error) == NULL && strstr(error.message, "policy") != NULL);
  options = producer_options();
  options.schema = "not a schema";
  CHECK(plh_producer_create(&options, &error) == NULL && error.code == PLH_CODE_INVALID_ARGUMENT);
  options = producer_options();
  options.group_count = 1;
  CHECK(plh_producer_create(&options, &error) == NULL && strstr(error.message, "groups is NULL") != NULL);
  options.struct_bytes = 0;
  CHECK(plh_producer_create(&options, &error) == NULL && strstr(error.message, "struct_bytes") != NULL);
  CHECK(plh_producer_create(NULL, NULL) == NULL);

  plh_consumer_options reading = consumer_options();
  CHECK(plh_consumer_open(&reading, &error) == NULL && error.code == PLH_CODE_NOT_FOUND);
  reading.start = 7;
  CHECK(plh_consumer_open(&reading, &error) == NULL && strstr(error.message, "start") != NULL);

  plh_write_slot written;
  plh_read_slot read;
  CHECK(plh_producer_acquire(NULL, 0, &written) == PLH_NO_SLOT);
  CHECK(plh_producer_commit(NULL, 0) == PLH_NO_SLOT);
  CHECK(plh_consumer_acquire(NULL, 0, &read) == PLH_NO_SLOT);
  plh_producer_destroy(NULL);
  plh_consumer_destroy(NULL);
  CHECK(strcmp(plh_result_name(PLH_CUT_OFF), "cut off") == 0);
  CHECK(plh_abi_version() == PLH_ABI_VERSION);
}

/* A caller that was compiled against a header with fewer members. */
static void an_older_callers_shorter_options_are_completed(void) {
  plh_producer_options options = producer_options();
  options.struct_bytes = offsetof(plh_producer_options, directory);
  options.directory = "/nowhere";
  options.slot_bytes = 0; /* refused before anything is created in /dev/shm */
  plh_error error;
  CHECK(plh_producer_create(&options, &error) == NULL);
  CHECK(strstr(error.message, "slot_bytes") != NULL && strstr(error.message, "/nowhere") == NULL);
  plh_producer_stats few = {.struct_bytes = offsetof(plh_producer_stats, committed_bytes)};
  few.committed_bytes = 77;
  options = producer_options();
  plh_producer* producer = create(&options);
  CHECK(put(producer, "x") == PLH_OK);
  plh_producer_get_stats(producer, &few);
  CHECK(few.committed_slots == 1 && few.committed_bytes == 77);
  plh_producer_destroy(producer);
}

static void checksums_are_verified_on_request(void) {
  plh_producer_options options = producer_options();
  options.checksum = PLH_CHECKSUM_MANUAL;
  plh_producer* producer = create(&options);
  plh_consumer_options reading = consumer_options();
  plh_consumer* consumer = open_with(&reading);
  plh_write_slot slot;
  CHECK(plh_producer_acquire(producer, 0, &slot) == PLH_OK);
  CHECK(plh_producer_add_checksum(producer) == PLH_OK);
  CHECK(plh_producer_commit(producer, 8) == PLH_OK);
  plh_read_slot read;
  CHECK(plh_consumer_acquire(consumer, kSecond, &read) == PLH_OK);
  CHECK(plh_consumer_verify(consumer) == PLH_OK);
  plh_consumer_destroy(consumer);
  plh_producer_destroy(producer);
}

/* Between processes: the producer is killed, its consumer reads what it committed and follows to the next. */
static void a_killed_producer_is_followed(void) {
  int ready[2];
  CHECK(pipe(ready) == 0);
  const pid_t child = fork();
  if (child == 0) {
    plh_producer_options options = producer_options();
    options.min_consumers = 1;
    plh_producer* producer = create(&options);
    if (write(ready[1], "r", 1) != 1) _exit(1);
    plh_write_slot slot;
    if (plh_producer_acquire(producer, 20 * kSecond, &slot) != PLH_OK) _exit(1);
    memcpy(slot.payload, "last words", 10);
    if (plh_producer_commit(producer, 10) != PLH_OK) _exit(1);
    raise(SIGKILL);
  }
  char byte;
  CHECK(read(ready[0], &byte, 1) == 1);
  plh_consumer_options reading = consumer_options();
  plh_consumer* consumer = open_with(&reading);
  plh_read_slot slot;
  CHECK(plh_consumer_acquire(consumer, 20 * kSecond, &slot) == PLH_OK);
  CHECK(slot.payload_bytes == 10 && memcmp(slot.payload, "last words", 10) == 0);
  CHECK(plh_consumer_release(consumer) == PLH_OK);
  CHECK(plh_consumer_acquire(consumer, 20 * kSecond, &slot) == PLH_PRODUCER_DEAD);
  waitpid(child, NULL, 0);
  CHECK(plh_consumer_follow(consumer, 0, NULL) == PLH_CODE_DEADLINE_EXCEEDED);
  plh_producer_options options = producer_options();
  plh_producer* successor = create(&options);
  CHECK(plh_consumer_follow(consumer, kSecond, NULL) == PLH_CODE_OK);
  CHECK(put(successor, "go on") == PLH_OK);
  CHECK(plh_consumer_acquire(consumer, kSecond, &slot) == PLH_OK);
  CHECK(memcmp(slot.payload, "go on", 5) == 0);
  plh_consumer_destroy(consumer);
  plh_producer_destroy(successor);
  close(ready[0]);
  close(ready[1]);
}

static void the_members_of_a_group_share_the_slots(void) {
  const char* groups[] = {"filters", "loggers"};
  plh_producer_options options = producer_options();
  options.policy = PLH_PIPELINE;
  options.groups = groups;
  options.group_count = 2;
  plh_producer* producer = create(&options);
  plh_error error;
  plh_consumer_options reading = consumer_options();
  CHECK(plh_consumer_open(&reading, &error) == NULL && strstr(error.message, "loggers") != NULL);
  reading.group = "filters";
  plh_consumer* first = open_with(&reading);
  plh_consumer* second = open_with(&reading);
  reading.group = "loggers";
  plh_consumer* logger = open_with(&reading);
  CHECK(put(producer, "a") == PLH_OK && put(producer, "b") == PLH_OK);
  plh_read_slot slot;
  CHECK(plh_consumer_acquire(first, kSecond, &slot) == PLH_OK && memcmp(slot.payload, "a", 1) == 0);
  CHECK(slot.redelivered == 0);
  CHECK(plh_consumer_acquire(second, kSecond, &slot) == PLH_OK && memcmp(slot.payload, "b", 1) == 0);
  CHECK(plh_consumer_acquire(logger, kSecond, &slot) == PLH_OK && memcmp(slot.payload, "a", 1) == 0);
  CHECK(plh_consumer_release(first) == PLH_OK && plh_consumer_release(second) == PLH_OK);
  CHECK(plh_consumer_release(logger) == PLH_OK);
  CHECK(plh_consumer_acquire(logger, kSecond, &slot) == PLH_OK && memcmp(slot.payload, "b", 1) == 0);
  plh_consumer_destroy(logger); /* releases what it holds */
  plh_consumer_destroy(first);
  plh_consumer_destroy(second);
  plh_producer_destroy(producer);
}

static void the_zone_is_read_whole_and_waited_for(void) {
  plh_producer_options options = producer_options();
  options.zone_bytes = 4;
  plh_producer* producer = create(&options);
  plh_consumer_options reading = consumer_options();
  plh_consumer* consumer = open_with(&reading);
  char zone[8];
  uint64_t version = 7;
  CHECK(plh_consumer_zone_bytes(consumer) == 4);
  CHECK(plh_consumer_read_zone(consumer, zone, sizeof(zone), &version, NULL) == PLH_CODE_OK && version == 0);
  CHECK(plh_consumer_wait_for_zone(consumer, 0, 0) == PLH_TIMEOUT);
  CHECK(plh_producer_write_zone(producer, "abcd", 4, NULL) == PLH_CODE_OK);
  CHECK(plh_consumer_wait_for_zone(consumer, 0, kSecond) == PLH_OK);
  CHECK(plh_consumer_read_zone(consumer, zone, sizeof(zone), &version, NULL) == PLH_CODE_OK);
  CHECK(version == 1 && memcmp(zone, "abcd", 4) == 0);
  plh_error error;
  CHECK(plh_producer_write_zone(producer, "abcde", 5, &error) != PLH_CODE_OK && error.message[0] != '\0');
  plh_consumer_destroy(consumer);
  plh_producer_destroy(producer);
}

static void a_zone_of_another_schema_is_refused(void) {
  const char* gain = "pylabhub-schema 1\nrecord Gain 8\nfield gain float64 1 0 V\n";
  const char* offset = "pylabhub-schema 1\nrecord Offset 8\nfield offset float64 1 0 V\n";
  plh_producer_options options = producer_options();
  options.zone_schema = gain;
  plh_producer* producer = create(&options);
  plh_consumer_options reading = consumer_options();
  reading.expected_zone_schema = gain;
  plh_consumer* consumer = open_with(&reading);
  CHECK(plh_consumer_zone_bytes(consumer) == 8);
  plh_consumer_destroy(consumer);
  plh_error error;
  reading.expected_zone_schema = offset;
  CHECK(plh_consumer_open(&reading, &error) == NULL && error.code == PLH_CODE_FAILED_PRECONDITION);
  CHECK(strstr(error.message, "SCHEMA_MISMATCH: the zone of channel 'c.test'") != NULL);
  reading.expected_zone_schema = "not a schema";
  CHECK(plh_consumer_open(&reading, &error) == NULL && error.code == PLH_CODE_INVALID_ARGUMENT);
  plh_producer_destroy(producer);

  options.zone_schema = NULL;
  producer = create(&options);
  reading.expected_zone_schema = gain;
  CHECK(plh_consumer_open(&reading, &error) == NULL && strstr(error.message, "has no zone") != NULL);
  plh_producer_destroy(producer);
}

static void one_thread_waits_on_many(void) {
  plh_producer_options options = producer_options();
  plh_producer* producer = create(&options);
  plh_consumer_options reading = consumer_options();
  plh_consumer* low = open_with(&reading);
  plh_consumer* high = open_with(&reading);
  plh_wait_set* set = plh_wait_set_create(0);
  CHECK(plh_wait_set_add(set, low, 0, 1, NULL) == PLH_CODE_OK);
  CHECK(plh_wait_set_add(set, high, 5, 2, NULL) == PLH_CODE_OK);
  plh_error error;
  CHECK(plh_wait_set_add(set, high, 5, 3, &error) == PLH_CODE_ALREADY_EXISTS);
  uint64_t key = 0;
  CHECK(plh_wait_set_wait(set, 0, &key) == PLH_TIMEOUT);
  plh_wait_set_wake(set);
  CHECK(plh_wait_set_wait(set, 20 * kSecond, &key) == PLH_WOKEN);
  CHECK(put(producer, "x") == PLH_OK);
  CHECK(plh_wait_set_wait(set, 20 * kSecond, &key) == PLH_OK && key == 2);
  CHECK(plh_wait_set_remove(set, high, NULL) == PLH_CODE_OK);
  CHECK(plh_wait_set_wait(set, 20 * kSecond, &key) == PLH_OK && key == 1);
  plh_consumer_destroy(low);
  CHECK(plh_wait_set_wait(set, 0, &key) == PLH_TIMEOUT);
  plh_wait_set_destroy(set);
  plh_consumer_destroy(high);
  plh_producer_destroy(producer);
}

int main(void) {
  strcpy(folder, "/dev/shm/pylabhub-c-test-XXXXXX");
  if (mkdtemp(folder) == NULL) {
    perror(folder);
    return 1;
  }
  slots_pass();
  batches_pass();
  bad_calls_say_what_is_wrong();
  an_older_callers_shorter_options_are_completed();
  checksums_are_verified_on_request();
  a_killed_producer_is_followed();
  the_members_of_a_group_share_the_slots();
  the_zone_is_read_whole_and_waited_for();
  a_zone_of_another_schema_is_refused();
  one_thread_waits_on_many();
  CHECK(rmdir(folder) == 0); /* every channel took its files with it */
  if (failures == 0) puts("everything in c_api.h works from C");
  return failures == 0 ? 0 : 1;
}
