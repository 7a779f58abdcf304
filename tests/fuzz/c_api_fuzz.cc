// A program of calls of the C API, such as a binding with errors in it might make: in any order, with handles that are null,
// hold something or nothing, or have lost their producer, with numbers, strings and sizes that make no sense, as callers of
// every age.
//
// The input is the program. Each call must give one of its answers, an error says why, a handle that holds something says so,
// what is read was written as that slot, and nothing waits for longer than it was told. Now and then somebody writes into the
// channels' control files: then a slot may be written over, but its reader must be told.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <initializer_list>
#include <iterator>
#include <string>
#include <vector>

#include "shm/c_api.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/require.h"

namespace pylabhub::fuzz {
namespace {

constexpr int kMaxSteps = 60;
constexpr size_t kProducers = 2;
constexpr size_t kConsumers = 3;
constexpr uint64_t kMostBytes = 2048;  // of slots that are created

template <typename Choices>
auto OneOf(const Choices& choices, Input& input) {
  return choices[input.Byte() % std::size(choices)];
}

// A folder for the channels' files, which goes with the process.
class Folder {
 public:
  Folder() {
    const char* const parent = std::getenv("TEST_TMPDIR");
    path_ = std::string(parent == nullptr ? "/tmp" : parent) + "/c_api.XXXXXX";
    Require(mkdtemp(path_.data()) != nullptr, "there is a folder to work in");
    std::atexit([] { std::filesystem::remove_all(Instance().path_); });
  }
  static Folder& Instance() {
    static auto* const folder = new Folder;
    return *folder;
  }
  const char* path() const { return path_.c_str(); }
  std::vector<std::string> ControlFiles() const {
    std::vector<std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(path_)) {
      if (entry.path().string().find("control") != std::string::npos) files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    return files;
  }
  void Empty() const {
    for (const auto& entry : std::filesystem::directory_iterator(path_))
      std::filesystem::remove(entry.path());
  }

 private:
  std::string path_;
};

const char* const kChannels[] = {"a", "b", "a", "b", "", "A!", nullptr};
const char kRecord[] = "pylabhub-schema 1\nrecord Reading 8\nfield celsius float64 1 0 Cel\n";
const char* const kSchemas[] = {nullptr, nullptr, "", kRecord, "nonsense"};
const char* const kGroups[] = {"one", "two", "one", "", nullptr};
const int64_t kTimes[] = {0, 0, 0, 1'000, -1, INT64_MIN};
const uint32_t kCounts[] = {0, 1, 2, 3, 4, 65'537, UINT32_MAX};

// Of an older caller: its struct ended somewhere. (Where one of its members did; what comes in between is no caller.)
uint64_t StructBytes(std::initializer_list<uint64_t> ends, Input& input) {
  return input.Byte() % 4 != 0 ? *(ends.end() - 1) : *(ends.begin() + input.Byte() % ends.size());
}

bool IsError(const plh_error& error) {
  return error.code != PLH_CODE_OK && error.message[0] != '\0' &&
         std::memchr(error.message, 0, sizeof(error.message)) != nullptr;
}

int FillerOf(uint64_t sequence) { return static_cast<uint8_t>(sequence * 31 + 7); }

class Program {
 public:
  explicit Program(Input input) : input_(input) {}
  ~Program() {
    for (Reader& reader : readers_) plh_consumer_destroy(reader.consumer);
    for (Writer& writer : writers_) plh_producer_destroy(writer.producer);
    plh_wait_set_destroy(set_);
    Folder::Instance().Empty();
  }

  void Run() {
    for (int step = 0; step < kMaxSteps && !input_.empty(); ++step) Step();
  }

 private:
  struct Writer {
    plh_producer* producer = nullptr;
    std::vector<plh_write_slot> held;  // of the slot, or of the batch
    bool holds = false;
  };
  struct Reader {
    plh_consumer* consumer = nullptr;
    std::vector<plh_read_slot> held;
  };

  void Step() {
    Writer& writer = writers_[input_.Byte() % writers_.size()];
    Reader& reader = readers_[input_.Byte() % readers_.size()];
    switch (input_.Byte() % 18) {
      case 0:
        return Create(writer);
      case 1:
        return Open(reader);
      case 2:
      case 3:
        return Acquire(writer);
      case 4:
      case 5:
        return Commit(writer);
      case 6:
        return AcquireBatch(writer);
      case 7:
        return CommitBatch(writer);
      case 8:
      case 9:
        return Acquire(reader);
      case 10:
        return AcquireBatch(reader);
      case 11:
      case 12:
        return Release(reader);
      case 13:
        return Follow(reader);
      case 14:
        return UseZone(writer, reader);
      case 15:
        return UseSet(reader);
      case 16:
        return Look(writer, reader);
      default:
        return DoHarm(writer, reader);
    }
  }

  int64_t Time() { return OneOf(kTimes, input_); }

  void Create(Writer& writer) {
    if (writer.producer != nullptr && input_.Byte() % 4 != 0) return;
    End(writer);
    plh_producer_options options;
    plh_producer_options_init(&options);
    options.channel = OneOf(kChannels, input_);
    options.policy = input_.Byte() % 7;
    if (options.policy == 0) options.policy = static_cast<uint32_t>(input_.Replacement(options.policy));
    options.capacity_slots = OneOf(kCounts, input_);
    const uint64_t sizes[] = {1, 24, 1032, kMostBytes, 0, UINT64_MAX};
    options.slot_bytes = OneOf(sizes, input_);
    options.schema = OneOf(kSchemas, input_);
    options.max_consumers = OneOf(kCounts, input_) % 1'026;
    options.max_pins = OneOf(kCounts, input_);
    options.min_consumers = input_.Byte() % 16 == 0 ? 1 : 0;
    options.checksum = input_.Byte() % 5;
    options.groups = input_.Byte() % 4 == 0 ? nullptr : kGroups;
    options.group_count = input_.Byte() % 2 == 0 ? 0 : input_.Byte() % (std::size(kGroups) + 1);
    options.max_patience_ns = input_.Byte() % 2 == 0 ? PLH_FOREVER : OneOf(kTimes, input_);
    const uint64_t zones[] = {0, 1, 40, (uint64_t{16} << 20) + 1};
    options.zone_bytes = OneOf(zones, input_);
    options.zone_schema = OneOf(kSchemas, input_);
    options.spin_ns = Time();
    options.directory = Folder::Instance().path();
    options.struct_bytes = StructBytes({0, 8, offsetof(plh_producer_options, policy),
                                        offsetof(plh_producer_options, groups), UINT64_MAX, sizeof(options)},
                                       input_);
    // Without a directory it would be everybody's.
    if (options.struct_bytes > 8 && options.struct_bytes < sizeof(options)) options.channel = "A!";
    plh_error error = {};
    writer.producer = plh_producer_create(&options, &error);
    Require((writer.producer != nullptr) != IsError(error), "there is a producer, or a reason why not");
  }

  void Open(Reader& reader) {
    if (reader.consumer != nullptr && input_.Byte() % 4 != 0) return;
    End(reader);
    plh_consumer_options options;
    plh_consumer_options_init(&options);
    options.channel = OneOf(kChannels, input_);
    options.order = input_.Byte() % 4;
    options.start = input_.Byte() % 4;
    options.start_sequence = input_.Replacement(1);
    options.when_slow = input_.Byte() % 2 == 0 ? 1 : input_.Byte();
    options.max_batch = OneOf(kCounts, input_);
    options.patience_ns = input_.Byte() % 2 == 0 ? 1 : OneOf(kTimes, input_);
    options.group = input_.Byte() % 2 == 0 ? nullptr : OneOf(kGroups, input_);
    options.expected_schema = input_.Byte() % 4 == 0 ? OneOf(kSchemas, input_) : nullptr;
    options.open_timeout_ns = Time();
    options.spin_ns = Time();
    options.directory = Folder::Instance().path();
    options.expected_zone_schema = input_.Byte() % 4 == 0 ? OneOf(kSchemas, input_) : nullptr;
    options.struct_bytes =
        StructBytes({0, 8, offsetof(plh_consumer_options, order),
                     offsetof(plh_consumer_options, expected_zone_schema), UINT64_MAX, sizeof(options)},
                    input_);
    if (options.struct_bytes > 8 && options.struct_bytes <= offsetof(plh_consumer_options, directory))
      options.channel = "A!";
    plh_error error = {};
    reader.consumer = plh_consumer_open(&options, &error);
    Require((reader.consumer != nullptr) != IsError(error), "there is a consumer, or a reason why not");
  }

  void End(Writer& writer) {
    plh_producer_destroy(writer.producer);
    writer = {};
  }
  void End(Reader& reader) {
    plh_consumer_destroy(reader.consumer);
    reader = {};
  }

  static void RequireOneOf(plh_result result, std::initializer_list<plh_result> known) {
    Require(std::find(known.begin(), known.end(), result) != known.end(), "a call gives one of its answers");
    Require(std::strcmp(plh_result_name(result), "unknown") != 0, "every answer has a name");
  }

  void Acquire(Writer& writer) {
    plh_write_slot slot = {};
    plh_write_slot* const target = input_.Byte() % 16 == 0 ? nullptr : &slot;
    const plh_result result = plh_producer_acquire(writer.producer, Time(), target);
    const bool cannot = writer.producer == nullptr || target == nullptr || writer.holds;
    if (cannot) return Require(result == PLH_NO_SLOT, "there is nothing to acquire");
    RequireOneOf(result, {PLH_OK, PLH_TIMEOUT});
    if (result != PLH_OK) return;
    writer.holds = true;
    writer.held = {slot};
    std::memset(slot.payload, FillerOf(plh_producer_next_sequence(writer.producer)), slot.payload_bytes);
  }
  void AcquireBatch(Writer& writer) {
    size_t acquired = 77;
    const size_t wanted = input_.Byte() % 4 == 0 ? input_.Replacement(0) : input_.Byte() % 4;
    const plh_result result = plh_producer_acquire_batch(writer.producer, wanted, Time(), &acquired);
    Require((acquired != 0) == (result == PLH_OK), "slots are acquired or are not");
    if (writer.producer == nullptr || wanted == 0 || writer.holds)
      return Require(result == PLH_NO_SLOT, "there is nothing to acquire");
    RequireOneOf(result, {PLH_OK, PLH_TIMEOUT});
    writer.holds = result == PLH_OK;
    for (size_t i = 0; i < acquired; ++i) {
      plh_write_slot slot = {};
      Require(plh_producer_batch_slot(writer.producer, i, &slot) == PLH_OK, "a batch has its slots");
      std::memset(slot.payload, FillerOf(plh_producer_next_sequence(writer.producer) + i),
                  slot.payload_bytes);
      writer.held.push_back(slot);
    }
    plh_write_slot beyond = {};
    Require(plh_producer_batch_slot(writer.producer, acquired, &beyond) == PLH_NO_SLOT, "and no others");
  }
  void Commit(Writer& writer) {
    if (input_.Byte() % 8 == 0) plh_producer_add_checksum(writer.producer);
    if (input_.Byte() % 8 == 0) {
      plh_producer_abort(writer.producer);
      writer.holds = false;
      writer.held.clear();
      return;
    }
    const size_t room_bytes = writer.held.empty() ? 0 : writer.held.front().payload_bytes;
    const size_t bytes = input_.Byte() % 16 == 0 ? input_.Replacement(room_bytes) : room_bytes;
    const plh_result result = plh_producer_commit(writer.producer, bytes);
    if (result == PLH_NO_SLOT) return;
    Require(writer.held.size() == 1, "only a slot that is held is committed");
    Require(result == (bytes > room_bytes ? PLH_TOO_LARGE : PLH_OK), "a slot has its size");
    writer.holds = false;
    writer.held.clear();
  }
  void CommitBatch(Writer& writer) {
    const size_t count = input_.Byte() % 4 == 0 ? input_.Replacement(writer.held.size()) : writer.held.size();
    std::vector<size_t> sizes;
    for (const plh_write_slot& slot : writer.held)
      sizes.push_back(input_.Byte() % 16 == 0 ? input_.Replacement(0) : slot.payload_bytes);
    const plh_result result =
        plh_producer_commit_batch(writer.producer, sizes.empty() ? nullptr : sizes.data(), count);
    if (result == PLH_NO_SLOT) return;
    Require(count <= writer.held.size(), "no more are committed than are held");
    RequireOneOf(result, {PLH_OK, PLH_TOO_LARGE});
    writer.holds = false;
    writer.held.clear();
  }

  void Acquire(Reader& reader) {
    plh_read_slot slot = {};
    const plh_result result = plh_consumer_acquire(reader.consumer, Time(), &slot);
    if (reader.consumer == nullptr || !reader.held.empty())
      return Require(result == PLH_NO_SLOT, "there is nothing to acquire");
    CheckAnswer(result);
    if (result != PLH_OK) return;
    reader.held = {slot};
    CheckSlots(reader);
    if (input_.Byte() % 4 != 0) return;
    RequireOneOf(plh_consumer_verify(reader.consumer), {PLH_OK, PLH_NO_CHECKSUM, PLH_CORRUPT});
  }
  void AcquireBatch(Reader& reader) {
    plh_read_slot batch[4] = {};
    size_t acquired = 77;
    const plh_result result =
        plh_consumer_acquire_batch(reader.consumer, batch, input_.Byte() % 5, Time(), &acquired);
    Require((acquired != 0) == (result == PLH_OK) && acquired <= 4, "slots are acquired or are not");
    if (reader.consumer == nullptr || !reader.held.empty())
      return Require(result == PLH_NO_SLOT, "there is nothing to acquire");
    if (result == PLH_NO_SLOT) return;
    CheckAnswer(result);
    reader.held.assign(batch, batch + acquired);
    CheckSlots(reader);
  }
  // No corrupt slot comes from a producer that lives; but others may have freed what was still to be read.
  static void CheckAnswer(plh_result result) {
    RequireOneOf(result,
                 {PLH_OK, PLH_TIMEOUT, PLH_PRODUCER_CLOSED, PLH_PRODUCER_DEAD, PLH_CUT_OFF, PLH_CORRUPT});
  }
  static bool IsRight(const plh_read_slot& slot) {
    const auto* const bytes = static_cast<const uint8_t*>(slot.payload);
    return std::all_of(bytes, bytes + slot.payload_bytes,
                       [&](uint8_t byte) { return byte == FillerOf(slot.sequence); });
  }
  static bool AreRight(const Reader& reader) {
    return std::all_of(reader.held.begin(), reader.held.end(), IsRight);
  }
  static void CheckSlots(const Reader& reader) {
    Require(AreRight(reader), "a slot is what was written as that slot");
    for (const plh_read_slot& slot : reader.held)
      Require(slot.payload_bytes <= kMostBytes && slot.redelivered <= 1, "a slot makes sense");
  }
  void Release(Reader& reader) {
    const bool right = AreRight(reader);
    const plh_result result = plh_consumer_release(reader.consumer);
    if (reader.held.empty()) return Require(result == PLH_NO_SLOT, "there is nothing to release");
    RequireOneOf(result, {PLH_OK, PLH_OVERRUN});
    Require(right || result == PLH_OVERRUN, "wrong data does not pass unnoticed");
    reader.held.clear();
  }

  void Follow(Reader& reader) {
    plh_error error = {};
    const int32_t code = plh_consumer_follow(reader.consumer, Time(), &error);
    Require(code == error.code && (code == PLH_CODE_OK || IsError(error)), "a refusal says why");
    Require(code != PLH_CODE_OK || reader.held.empty(), "nobody leaves what it holds");
  }

  void UseZone(Writer& writer, Reader& reader) {
    const std::vector<uint8_t> bytes(input_.Byte(), input_.Byte());
    plh_error error = {};
    int32_t code = plh_producer_write_zone(writer.producer, bytes.empty() ? nullptr : bytes.data(),
                                           bytes.size(), &error);
    Require(code == PLH_CODE_OK || IsError(error), "a refusal says why");
    std::vector<uint8_t> target(input_.Byte() + 1);
    uint64_t version = 0;
    error = {};
    code = plh_consumer_read_zone(reader.consumer, target.data(), target.size(), &version, &error);
    Require(code == PLH_CODE_OK || IsError(error), "a refusal says why");
    RequireOneOf(plh_consumer_wait_for_zone(reader.consumer, input_.Replacement(version), Time()),
                 {PLH_OK, PLH_TIMEOUT, PLH_PRODUCER_CLOSED, PLH_PRODUCER_DEAD, PLH_NO_ZONE});
  }

  void UseSet(Reader& reader) {
    if (set_ == nullptr) set_ = plh_wait_set_create(Time());
    plh_error error = {};
    switch (input_.Byte() % 5) {
      case 0: {
        const auto key = static_cast<uint64_t>(&reader - readers_.data());
        plh_wait_set_add(set_, reader.consumer, static_cast<int32_t>(input_.Number(4)), key, &error);
        return;
      }
      case 1:
        plh_wait_set_remove(set_, reader.consumer, &error);
        return;
      case 2:
        return plh_wait_set_wake(set_);
      case 3: {
        uint64_t key = readers_.size();
        const plh_result result = plh_wait_set_wait(set_, Time(), &key);
        RequireOneOf(result, {PLH_OK, PLH_TIMEOUT, PLH_WOKEN});
        Require(result != PLH_OK || readers_[key % readers_.size()].consumer != nullptr,
                "who is told is there");
        return;
      }
      default:
        plh_wait_set_destroy(set_);
        set_ = nullptr;
    }
  }

  void Look(Writer& writer, Reader& reader) {
    plh_producer_stats stats = {};
    stats.struct_bytes = input_.Byte() % 2 == 0 ? sizeof(stats) : uint64_t{8} * (1 + input_.Byte() % 8);
    plh_producer_get_stats(writer.producer, &stats);
    plh_consumer_stats seen = {};
    seen.struct_bytes = input_.Byte() % 2 == 0 ? sizeof(seen) : uint64_t{8} * (1 + input_.Byte() % 4);
    plh_consumer_get_stats(reader.consumer, &seen);
    Require(plh_producer_consumer_count(writer.producer) <= readers_.size(), "nobody is counted twice");
    plh_consumer_producer_is_alive(reader.consumer);
    Require(plh_consumer_schema(reader.consumer) != nullptr &&
                plh_consumer_segment_id(reader.consumer) != nullptr,
            "a string is there");
    Require(plh_consumer_slot_bytes(reader.consumer) <= kMostBytes, "a slot has its size");
    plh_consumer_capacity_slots(reader.consumer);
    plh_consumer_zone_bytes(reader.consumer);
    plh_consumer_policy(reader.consumer);
  }

  // Handles end while they hold something; and somebody writes into a control file.
  void DoHarm(Writer& writer, Reader& reader) {
    switch (input_.Byte() % 3) {
      case 0:
        return End(writer);
      case 1:
        return End(reader);
      default:
        return SpoilControl();
    }
  }
  void SpoilControl() {
    const std::vector<std::string> files = Folder::Instance().ControlFiles();
    if (files.empty()) return;
    const int fd = open(files[input_.Byte() % files.size()].c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    const auto offset = static_cast<off_t>(8 * (input_.Number(2) % (3 * 4096 / 8)));
    uint64_t word = 0;
    if (pread(fd, &word, sizeof(word), offset) == sizeof(word)) {
      word = input_.Replacement(word);
      Require(pwrite(fd, &word, sizeof(word), offset) == sizeof(word), "a file can be written");
    }
    close(fd);
  }

  Input input_;
  std::array<Writer, kProducers> writers_;
  std::array<Reader, kConsumers> readers_;
  plh_wait_set* set_ = nullptr;
};

}  // namespace
}  // namespace pylabhub::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  pylabhub::fuzz::Program(pylabhub::fuzz::Input(data, bytes)).Run();
  return 0;
}
