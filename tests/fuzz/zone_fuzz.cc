// The flexible zone: a writer, a reader of any appetite, a producer that died in the middle of a write, and one gone wrong,
// which writes anything where the zone is.
//
// The input is a program: how large the zone is, then steps. Whatever the memory says, the reader copies nothing from
// elsewhere, nothing beyond its target, and comes to an end. As long as nobody has spoilt it, it is given the version that was
// published last, whole.
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "shm/ring/zone.h"
#include "shm/segment/data_segment.h"
#include "shm/segment/layout.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/require.h"
#include "tests/shm/segment_memory.h"

namespace pylabhub::fuzz {
namespace {

using ::pylabhub::shm::SegmentMemory;

constexpr int kMaxSteps = 100;
// Around a word, a spacing, and the blocks in which a reader copies.
constexpr uint64_t kZoneBytes[] = {1, 7, 8, 9, 40, 128, 129, 4095, 4096, 4097, 8193};

struct Sample {
  SegmentMemory memory;
  uint64_t zone_bytes;

  explicit Sample(uint64_t bytes) : memory(Built(bytes)), zone_bytes(bytes) {}
  static SegmentMemory Built(uint64_t zone_bytes) {
    const shm::ChannelConfig config = shm::ChannelConfig{.channel = "zone",
                                                         .capacity_slots = 2,
                                                         .slot_bytes = 8,
                                                         .max_consumers = 1,
                                                         .zone_bytes = zone_bytes}
                                          .WithDefaults();
    SegmentMemory memory(DataFileBytes(config));
    BuildData(memory.bytes(), config, {}, {});
    shm::PublishData(memory.bytes());
    return memory;
  }
};

const std::vector<Sample>& Samples() {
  static const auto* const samples = new std::vector<Sample>(std::begin(kZoneBytes), std::end(kZoneBytes));
  return *samples;
}

class Zone {
 public:
  explicit Zone(const Sample& sample)
      : memory_(sample.memory.bytes()),
        view_(*shm::ViewData(memory_.bytes())),
        zone_bytes_(sample.zone_bytes),
        writer_({view_.geometry, memory_.bytes().data(),
                 shm::At<shm::DataHeader>(memory_.bytes().data(), memory_.header_offset_bytes())}),
        reader_(view_) {}

  void Step(Input& input) {
    switch (input.Byte() % 6) {
      case 0:
      case 1:
        return Write(input);
      case 2:
      case 3:
        return Read(input);
      case 4:
        return DieInTheMiddle(input);
      default:
        return Spoil(input);
    }
  }

 private:
  shm::ZoneHeader* header() const {
    return shm::At<shm::ZoneHeader>(memory_.bytes().data(), view_.geometry.zone_offset_bytes);
  }
  std::span<std::byte> copies() const {
    return memory_.bytes().subspan(view_.geometry.zone_offset_bytes + sizeof(shm::ZoneHeader),
                                   2 * view_.geometry.zone_copy_stride_bytes());
  }

  // A producer writes on only if it lives.
  void Write(Input& input) {
    if (died_) return;
    // Of exactly its size, so that a sanitizer sees its end.
    const std::vector<std::byte> bytes(input.Number(2) % (zone_bytes_ + 1),
                                       static_cast<std::byte>(input.Byte()));
    writer_.Write(bytes);
    newest_.assign(zone_bytes_, std::byte{0});
    std::copy(bytes.begin(), bytes.end(), newest_.begin());
  }

  void Read(Input& input) {
    // At times more than there is.
    std::vector<std::byte> target(input.Number(2) % (zone_bytes_ + 9), std::byte{0xa5});
    const std::vector<std::byte> before = target;
    const std::optional<uint64_t> version = reader_.Read(target);
    const size_t copied = std::min<size_t>(target.size(), zone_bytes_);
    Require(std::equal(target.begin() + static_cast<ptrdiff_t>(copied), target.end(),
                       before.begin() + static_cast<ptrdiff_t>(copied)),
            "nothing is written beyond the zone's bytes");
    Require(version != 0 || target == before, "of no version nothing is copied");
    if (spoilt_) return;
    Require(version == writer_.version() && reader_.version() == writer_.version(),
            "the version that was published last is read");
    Require(version == 0 ||
                std::equal(target.begin(), target.begin() + static_cast<ptrdiff_t>(copied), newest_.begin()),
            "a version is whole");
  }

  // What it leaves of the next version: begun, and any of its words.
  void DieInTheMiddle(Input& input) {
    if (died_) return;
    died_ = true;
    const uint64_t next = writer_.version() + 1;
    header()->begun = next;
    const size_t stride_bytes = view_.geometry.zone_copy_stride_bytes();
    const std::span<std::byte> copy = copies().subspan(next % 2 * stride_bytes, stride_bytes);
    std::memset(copy.data(), input.Byte(), input.Number(2) % (copy.size() + 1));
  }

  void Spoil(Input& input) {
    spoilt_ = true;
    std::atomic<uint64_t>& word = input.Byte() % 2 == 0 ? header()->begun : header()->published;
    if (input.Byte() % 3 != 0) {
      word = input.Replacement(word);
    } else {
      copies()[input.Number(2) % copies().size()] = static_cast<std::byte>(input.Byte());
    }
    // And sleeping does not outlast its time.
    reader_.Sleep(input.Replacement(reader_.version()), absl::ZeroDuration());
  }

  SegmentMemory memory_;
  shm::DataView view_;
  uint64_t zone_bytes_;
  shm::ZoneWriter writer_;
  shm::ZoneReader reader_;
  std::vector<std::byte> newest_;
  bool died_ = false;
  bool spoilt_ = false;
};

void Run(Input input) {
  Zone zone(Samples()[input.Byte() % Samples().size()]);
  for (int step = 0; step < kMaxSteps && !input.empty(); ++step) zone.Step(input);
}

}  // namespace
}  // namespace pylabhub::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  pylabhub::fuzz::Run(pylabhub::fuzz::Input(data, bytes));
  return 0;
}
