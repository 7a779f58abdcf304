// What each participant of a channel did and saw, in memory that outlives it: the one who runs the test owns the memory,
// so that a killed process's last word is kept.
//
// Thread safety: every record has one writer, its participant; anybody may read. Speed does not matter: all accesses are
// sequentially consistent.
#ifndef PYLABHUB_TESTS_CHAOS_LEDGER_H_
#define PYLABHUB_TESTS_CHAOS_LEDGER_H_

#include <sys/mman.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <type_traits>

#include "shm/segment_id.h"

namespace pylabhub::chaos {

// A zeroed object that forked children share with their parent.
template <typename T>
class Shared {
 public:
  static_assert(std::is_trivially_default_constructible_v<T>);

  Shared() {
    void* memory =
        mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    // No constructor runs: the pages are zero, and most are never touched.
    object_ = static_cast<T*>(memory);
  }
  ~Shared() { munmap(object_, sizeof(T)); }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;

  T& operator*() const { return *object_; }
  T* operator->() const { return object_; }

 private:
  T* object_;
};

// Zero without a constructor: a ledger is as large as its untouched pages.
template <typename T>
class Cell {
 public:
  T load() const { return std::atomic_ref<T>(value_).load(); }
  void store(T value) { std::atomic_ref<T>(value_).store(value); }
  T add(T value) { return std::atomic_ref<T>(value_).fetch_add(value); }
  // For a futex.
  const T* address() const { return &value_; }

 private:
  alignas(std::atomic_ref<T>::required_alignment) mutable T value_;
};

// What went wrong first, in words.
class Text {
 public:
  bool empty() const { return characters_[0] == '\0'; }
  std::string str() const { return characters_.data(); }
  void Say(const std::string& words) {
    if (empty()) words.copy(characters_.data(), characters_.size() - 1);
  }

 private:
  std::array<char, 256> characters_;
};

class SegmentCell {
 public:
  shm::SegmentId load() const {
    const std::array<uint64_t, 2> words = {words_[0].load(), words_[1].load()};
    shm::SegmentId id;
    std::memcpy(id.bytes.data(), words.data(), sizeof(words));
    return id;
  }
  void store(const shm::SegmentId& id) {
    std::array<uint64_t, 2> words;
    std::memcpy(words.data(), id.bytes.data(), sizeof(words));
    words_[0].store(words[0]);
    words_[1].store(words[1]);
  }

 private:
  Cell<uint64_t> words_[2];
};

// One producer of the channel, from Create to its end.
struct ProducerRecord {
  Cell<int64_t> create_began_ns;
  Cell<int64_t> created_ns;  // 0 until Create has returned; then segment_id stands
  SegmentCell segment_id;
  Cell<uint64_t> attempted;    // slots for which Commit was called
  Cell<uint64_t> confirmed;    // slots for which it said kOk
  Cell<uint64_t> misnumbered;  // slots whose number was not the next one
  Cell<int64_t> progress_ns;   // when it committed last
  // Set by who wants to know when it gets over slot `watched` - 1; 0: nobody does.
  Cell<uint64_t> watched;
  Cell<int64_t>
      watched_begun_ns;  // when it asked for room for that slot; 0 if it did so before it was watched
  Cell<int64_t> watched_done_ns;  // when it had committed it
  Text fault;
};

// One consumer of the channel, from Open to its end.
struct ConsumerRecord {
  Cell<int64_t> opened_ns;  // 0 until Open has returned
  Cell<int32_t> pid;
  Cell<uint64_t> delivered;
  Cell<uint64_t> released;
  Cell<uint64_t> lost;
  Cell<uint64_t> torn;
  Cell<uint64_t> duplicated;
  Cell<uint64_t> corrupt;
  Cell<int64_t> progress_ns;    // when it got a slot last
  Cell<uint64_t> position;      // the number that comes next, once it has released all before
  Cell<uint32_t> generation;    // whose slots it reads
  Cell<int64_t> entered_ns;     // when it got the first slot of that generation
  Cell<int64_t> idle_since_ns;  // when it had given back the last one before
  Cell<int64_t> released_ns;
  SegmentCell segment_id;  // that it reads, or waits to leave
  Text fault;
};

// Who had each slot of a pipeline group, by generation and number.
struct GroupBook {
  // A generation's cells are used again so many generations later, and have been judged by then (JudgeGroup).
  static constexpr uint32_t kGenerations = 64;
  static constexpr uint32_t kSlots = 1 << 14;  // that a generation may write
  // 0 while nobody had it; else 1 + the index of the consumer's record << 1, | 1 once that consumer has released it.
  Cell<uint32_t> holder[kGenerations][kSlots];

  Cell<uint32_t>& of(uint32_t generation, uint64_t sequence) {
    return holder[generation % kGenerations][sequence % kSlots];
  }
};

// All that took part in one channel.
struct Ledger {
  // Enough for a day of kills; untouched records cost nothing.
  static constexpr uint32_t kRecords = 1 << 17;

  Cell<uint32_t> attempts;   // to create the channel
  Cell<uint32_t> producers;  // how many have created it; the first is generation 1
  Cell<uint32_t> consumers;
  Cell<uint32_t> no_more_producers;
  Cell<uint32_t> vacancies;        // counts producers that ended: who waits for the channel sleeps on it
  Cell<uint64_t> never_delivered;  // by a group, in generations whose cells are used again
  Text fault;                      // of somebody who has no record yet
  ProducerRecord producer[kRecords];
  ConsumerRecord consumer[kRecords];
  GroupBook group;

  uint32_t NewGeneration() { return producers.add(1) + 1; }
  ProducerRecord& of_generation(uint32_t generation) { return producer[(generation - 1) % kRecords]; }
  // Judges the generation that had these cells before, and clears them.
  void BeginGroupGeneration(uint32_t generation);
  ConsumerRecord& NewConsumer() { return consumer[consumers.add(1) % kRecords]; }
};

// How many of the slots that `generation` committed no member of the group ever got. For when it is drained.
uint64_t CountNeverDelivered(Ledger& ledger, uint32_t generation);

int64_t NowNanos();

}  // namespace pylabhub::chaos

#endif  // PYLABHUB_TESTS_CHAOS_LEDGER_H_
