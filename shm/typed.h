// Producer<T> and Consumer<T>: a channel whose slots are a T, or up to N of them in a row.
//
//   struct TempReading { double celsius; int64_t timestamp_ns; };
//   PYLABHUB_SCHEMA(TempReading, (celsius, "Cel"), (timestamp_ns, "ns"));   // shm/describe.h
//
//   auto producer = Producer<TempReading>::Create("sensor.temperature");
//   producer->Write({21.5, now_ns});
//
//   auto consumer = Consumer<TempReading>::Open("sensor.temperature");
//   while (std::optional<TempReading> reading = consumer->Read(absl::Seconds(1))) { ... }
//
// T is trivially copyable and described by PYLABHUB_SCHEMA. A consumer whose T has another schema than the
// channel is refused when it opens. Thread safety, time and ownership are those of DataBlockProducer and
// DataBlockConsumer.
#ifndef PYLABHUB_SHM_TYPED_H_
#define PYLABHUB_SHM_TYPED_H_

#include <cstddef>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "shm/describe.h"

namespace pylabhub::shm {

// A slot of T that is being written: items() in place, then Commit. See WriteSlot.
template <typename T>
class TypedWriteSlot {
 public:
  explicit TypedWriteSlot(WriteSlot slot) : slot_(std::move(slot)) {}

  explicit operator bool() const { return static_cast<bool>(slot_); }
  SlotResult result() const { return slot_.result(); }

  // Room for config.slot_bytes / sizeof(T) records, with whatever an earlier slot left in them.
  std::span<T> items() const {
    return {reinterpret_cast<T*>(slot_.payload().data()), slot_.payload().size() / sizeof(T)};
  }
  T& operator*() const { return items()[0]; }
  T* operator->() const { return &items()[0]; }

  // Publishes the first `items` records.
  SlotResult Commit(size_t items = 1) { return slot_.Commit(items * sizeof(T)); }
  void AddChecksum() { slot_.AddChecksum(); }
  void Abort() { slot_.Abort(); }

 private:
  WriteSlot slot_;
};

// A slot of T that is being read. See ReadSlot.
template <typename T>
class TypedReadSlot {
 public:
  explicit TypedReadSlot(ReadSlot slot) : slot_(std::move(slot)) {}

  explicit operator bool() const { return static_cast<bool>(slot_); }
  SlotResult result() const { return slot_.result(); }

  // The whole records in the payload; never more than were committed.
  std::span<const T> items() const {
    return {reinterpret_cast<const T*>(slot_.payload().data()), slot_.payload().size() / sizeof(T)};
  }
  uint64_t sequence() const { return slot_.sequence(); }
  absl::Time timestamp() const { return slot_.timestamp(); }
  uint64_t missed_slots() const { return slot_.missed_slots(); }
  SlotResult Verify() { return slot_.Verify(); }
  SlotResult Release() { return slot_.Release(); }

 private:
  ReadSlot slot_;
};

template <typename T>
class Producer {
  static_assert(std::is_trivially_copyable_v<T>, "a slot is copied as bytes between processes");
  static_assert(alignof(T) <= 64, "a payload is aligned to 64 bytes");

 public:
  // `config.schema` is T's, whatever the caller left there; `config.slot_bytes` is one T unless it says more.
  static absl::StatusOr<Producer> Create(absl::string_view channel, ChannelConfig config = {},
                                         const WaitOptions& wait = {}) {
    config.channel = std::string(channel);
    config.schema = SchemaOf<T>();
    absl::StatusOr<std::unique_ptr<DataBlockProducer>> block = DataBlockProducer::Create(config, wait);
    if (!block.ok()) return block.status();
    return Producer(*std::move(block));
  }
  // Takes over an untyped producer, which must have been created with T's schema.
  explicit Producer(std::unique_ptr<DataBlockProducer> block) : block_(std::move(block)) {}

  TypedWriteSlot<T> Acquire(absl::Duration timeout) { return TypedWriteSlot<T>(block_->Acquire(timeout)); }

  // Waits at most `timeout` for a slot and publishes a copy of `value` in it.
  SlotResult Write(const T& value, absl::Duration timeout = absl::InfiniteDuration()) {
    WriteSlot slot = block_->Acquire(timeout);
    if (!slot) return slot.result();
    std::memcpy(slot.payload().data(), &value, sizeof(T));
    return slot.Commit(sizeof(T));
  }

  DataBlockProducer& block() { return *block_; }

 private:
  std::unique_ptr<DataBlockProducer> block_;
};

template <typename T>
class Consumer {
  static_assert(std::is_trivially_copyable_v<T>, "a slot is copied as bytes between processes");
  static_assert(alignof(T) <= 64, "a payload is aligned to 64 bytes");

 public:
  // `options.expected_schema` is T's, whatever the caller left there.
  static absl::StatusOr<Consumer> Open(absl::string_view channel, ConsumerOptions options = {}) {
    options.expected_schema = SchemaOf<T>();
    absl::StatusOr<std::unique_ptr<DataBlockConsumer>> block = DataBlockConsumer::Open(channel, options);
    if (!block.ok()) return block.status();
    return Consumer(*std::move(block));
  }
  // Takes over an untyped consumer, which must have been opened with T's schema expected.
  explicit Consumer(std::unique_ptr<DataBlockConsumer> block) : block_(std::move(block)) {}

  TypedReadSlot<T> Acquire(absl::Duration timeout) { return TypedReadSlot<T>(block_->Acquire(timeout)); }

  // Waits at most `timeout` for a slot and returns a copy of its first record; nothing if there is no slot,
  // or none with a whole record in it. last_result() says why.
  std::optional<T> Read(absl::Duration timeout = absl::InfiniteDuration()) {
    ReadSlot slot = block_->Acquire(timeout);
    last_result_ = slot.result();
    if (!slot || slot.payload().size() < sizeof(T)) return std::nullopt;
    T value;
    std::memcpy(&value, slot.payload().data(), sizeof(T));
    last_result_ = slot.Release();
    if (last_result_ != SlotResult::kOk) return std::nullopt;
    return value;
  }
  SlotResult last_result() const { return last_result_; }

  DataBlockConsumer& block() { return *block_; }

 private:
  std::unique_ptr<DataBlockConsumer> block_;
  SlotResult last_result_ = SlotResult::kOk;
};

}  // namespace pylabhub::shm

#endif  // PYLABHUB_SHM_TYPED_H_
