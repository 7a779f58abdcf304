// Channels whose memory is handed over: descriptors that are not what they should be, forged or spoilt memory behind sound
// ones, parts that are renewed, producers that move on and that succeed each other, in any order; and packets on a socket
// that are no parcels.
//
// The input is a program. What is opened from descriptors is a sound segment, or is refused with a reason. A consumer of
// memory that nobody has forged reads what was written as that slot, or is told that it changed, whatever the other consumers
// write into their parts and into the bell.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "shm/os/mapping.h"
#include "shm/os/memfd.h"
#include "shm/segment_descriptors.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/require.h"
#include "tests/fuzz/segment_samples.h"
#include "tests/support/socket_pair.h"

namespace pylabhub::fuzz {
namespace {

using ::pylabhub::shm::ChannelConfig;
using ::pylabhub::shm::ConsumerDescriptors;
using ::pylabhub::shm::DataBlockConsumer;
using ::pylabhub::shm::DataBlockProducer;
using ::pylabhub::shm::HandedOver;
using ::pylabhub::shm::Mapping;
using ::pylabhub::shm::SegmentDescriptors;
using ::pylabhub::shm::SlotResult;
using ::pylabhub::shm::SlotView;
using ::pylabhub::shm::UniqueFd;
using ::pylabhub::shm::Writers;

constexpr int kMaxSteps = 40;
constexpr size_t kMostSegments = 4;
constexpr size_t kConsumers = 3;
constexpr shm::WaitOptions kNoSpin = {.spin = absl::ZeroDuration()};
constexpr absl::Duration kAtOnce = absl::ZeroDuration();

int FillerOf(uint64_t sequence) { return static_cast<uint8_t>(sequence * 31 + 7); }

// Whatever it is, the answer must be one of these.
void RequireReason(const absl::Status& status) {
  Require(!status.message().empty(), "a refusal says why");
  Require(!absl::IsInternal(status) && !absl::IsUnknown(status), "and what kind of refusal it is");
}

UniqueFd Copy(const UniqueFd& descriptor) {
  absl::StatusOr<UniqueFd> copy = shm::DuplicateDescriptor(descriptor);
  return copy.ok() ? *std::move(copy) : UniqueFd();
}

std::vector<std::byte> BytesOf(const UniqueFd& memfd) {
  const off_t size = lseek(memfd.get(), 0, SEEK_END);
  std::vector<std::byte> bytes(size > 0 ? static_cast<size_t>(size) : 0);
  if (pread(memfd.get(), bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) bytes.clear();
  return bytes;
}

// Sealed memory with these bytes in it.
UniqueFd Forged(const std::vector<std::byte>& bytes, Writers writers) {
  absl::StatusOr<UniqueFd> memfd = shm::CreateMemfd("forged");
  if (!memfd.ok() || bytes.empty()) return {};
  UniqueFd descriptor = Copy(*memfd);
  absl::StatusOr<Mapping> mapping = Mapping::Reserve(*std::move(memfd), bytes.size());
  Require(mapping.ok(), "there is memory");
  std::memcpy(mapping->bytes().data(), bytes.data(), bytes.size());
  Require(Seal(mapping->fd(), writers).ok(), "memory can be sealed");
  return descriptor;
}

const std::vector<ChannelConfig>& Configs() {
  static const auto* const configs = new std::vector<ChannelConfig>(SampleConfigs());
  return *configs;
}

class Program {
 public:
  explicit Program(Input input) : input_(input), config_(Configs()[input_.Byte() % Configs().size()]) {}

  void Run() {
    for (int step = 0; step < kMaxSteps && !input_.empty(); ++step) Step();
  }

 private:
  struct Segment {
    HandedOver handed_over;
    std::vector<size_t> committed_bytes;
  };
  struct Reader {
    std::unique_ptr<DataBlockConsumer> consumer;
    bool is_forged = false;
  };

  void Step() {
    Reader& reader = readers_[input_.Byte() % readers_.size()];
    switch (input_.Byte() % 12) {
      case 0:
        return Create();
      case 1:
      case 2:
        return Produce();
      case 3:
      case 4:
        return Consume(reader);
      case 5:
        return Open(reader);
      case 6:
        return Follow(reader);
      case 7:
        return SpoilShared();
      case 8:
        return Renew();
      case 9:
        return MoveOn();
      case 10:
        return Receive();
      default:
        return End(reader);
    }
  }

  // --- the producer

  void Create() {
    if (producer_ != nullptr) return;
    std::vector<SegmentDescriptors> predecessors;
    for (const Segment& segment : segments_) {
      if (input_.Byte() % 8 == 0) continue;
      absl::StatusOr<SegmentDescriptors> copy = segment.handed_over.descriptors.Duplicate();
      Require(copy.ok(), "descriptors can be copied");
      for (UniqueFd& part : copy->parts) Damage(part, Writers::kEverybody);
      Damage(copy->bell, Writers::kEverybody);
      Damage(copy->data, Writers::kCreatorAlone);
      predecessors.push_back(*std::move(copy));
    }
    absl::StatusOr<std::unique_ptr<DataBlockProducer>> created =
        DataBlockProducer::CreateSealed(config_, kNoSpin, predecessors);
    if (!created.ok()) return RequireReason(created.status());
    producer_ = *std::move(created);
    AddSegment(producer_->DuplicateDescriptors());
  }

  void AddSegment(absl::StatusOr<HandedOver> handed_over) {
    Require(handed_over.ok(), "a producer has its descriptors");
    // Several requests to move on may have been one.
    if (!segments_.empty() && segments_.back().handed_over.segment_id == handed_over->segment_id) return;
    if (segments_.size() == kMostSegments) segments_.erase(segments_.begin());
    segments_.push_back({*std::move(handed_over), {}});
  }

  void Produce() {
    if (producer_ == nullptr) return;
    if (input_.Byte() % 8 == 0 && config_.zone_bytes != 0) {
      const std::vector<std::byte> zone(input_.Byte() % (config_.zone_bytes + 2));
      (void)producer_->WriteZone(zone);
    }
    shm::WriteSlot slot = producer_->Acquire(kAtOnce);
    if (!slot) {
      Require(slot.result() == SlotResult::kTimeout && IsLossless(config_.policy),
              "a producer that overwrites never waits");
      return;
    }
    const uint64_t sequence = producer_->next_sequence();
    std::memset(slot.payload().data(), FillerOf(sequence), slot.payload().size());
    const size_t bytes = input_.Number(2) % (config_.slot_bytes + 1);
    segments_.back().committed_bytes.push_back(bytes);
    Require(segments_.back().committed_bytes.size() == sequence + 1, "numbers go up");
    Require(slot.Commit(bytes) == SlotResult::kOk, "a slot is committed");
  }

  void Renew() {
    if (producer_ == nullptr) return;
    std::vector<uint32_t> parts;
    for (int i = input_.Byte() % 3; i >= 0; --i) parts.push_back(input_.Byte() % 8);
    const Segment& from = segments_[input_.Byte() % segments_.size()];
    absl::StatusOr<shm::RenewedParts> renewed =
        producer_->RenewParts(input_.Byte() % 2 == 0 ? shm::SegmentId() : from.handed_over.segment_id, parts);
    if (!renewed.ok()) return RequireReason(renewed.status());
    Require(renewed->descriptors.size() == renewed->parts.size(), "each part has its descriptor");
    for (size_t i = 0; i < renewed->parts.size(); ++i)
      segments_.back().handed_over.descriptors.parts[renewed->parts[i]] = std::move(renewed->descriptors[i]);
  }

  void MoveOn() {
    if (producer_ == nullptr) return;
    std::vector<uint32_t> except;
    for (int i = input_.Byte() % 3; i > 0; --i) except.push_back(input_.Byte() % 8);
    producer_->RequestMoveOn(
        except, [this](absl::StatusOr<HandedOver> successor) { AddSegment(std::move(successor)); });
  }

  // --- consumers

  // Sometimes makes something else of what `descriptor` stands for. True if its content is another now.
  bool Damage(UniqueFd& descriptor, Writers writers) {
    if (input_.Byte() % 8 != 0) return false;
    std::vector<std::byte> bytes = BytesOf(descriptor);
    switch (input_.Byte() % 8) {
      case 0:
        descriptor = UniqueFd();
        return false;
      case 1:
        descriptor = UniqueFd::Make([] { return open("/dev/null", O_RDWR | O_CLOEXEC); });
        return false;
      case 2: {
        absl::StatusOr<UniqueFd> unsealed = shm::CreateMemfd("unsealed");
        Require(unsealed.ok() && ftruncate(unsealed->get(), static_cast<off_t>(bytes.size())) == 0,
                "there is memory");
        descriptor = *std::move(unsealed);
        return false;
      }
      case 3:  // Seals of the other kind.
        descriptor =
            Forged(bytes, writers == Writers::kEverybody ? Writers::kCreatorAlone : Writers::kEverybody);
        return false;
      case 4:
        bytes.resize(input_.Number(2));
        descriptor = Forged(bytes, writers);
        return true;
      default:
        for (int words = 1 + input_.Byte() % 3; words > 0 && bytes.size() >= 8; --words) {
          uint64_t word = 0;
          std::byte* const at = bytes.data() + 8 * (input_.Number(2) % (bytes.size() / 8));
          std::memcpy(&word, at, sizeof(word));
          word = input_.Replacement(word);
          std::memcpy(at, &word, sizeof(word));
        }
        descriptor = Forged(bytes, writers);
        return true;
    }
  }

  std::optional<ConsumerDescriptors> Choose(bool* forged) {
    if (segments_.empty()) return std::nullopt;
    const Segment& segment = segments_[input_.Byte() % segments_.size()];
    const SegmentDescriptors& all = segment.handed_over.descriptors;
    absl::StatusOr<ConsumerDescriptors> chosen = all.ForConsumer(input_.Byte() % all.parts.size());
    if (!chosen.ok()) return std::nullopt;
    if (input_.Byte() % 8 == 0) {
      // Of another segment.
      const SegmentDescriptors& other = segments_[input_.Byte() % segments_.size()].handed_over.descriptors;
      if (input_.Byte() % 2 == 0) chosen->bell = Copy(other.bell);
      if (input_.Byte() % 2 == 0) chosen->part = Copy(other.parts[input_.Byte() % other.parts.size()]);
    }
    *forged = Damage(chosen->data, Writers::kCreatorAlone);
    Damage(chosen->bell, Writers::kEverybody);
    Damage(chosen->part, Writers::kEverybody);
    return *std::move(chosen);
  }

  void Open(Reader& reader) {
    if (reader.consumer != nullptr) return;
    const std::optional<ConsumerDescriptors> descriptors = Choose(&reader.is_forged);
    if (!descriptors.has_value()) return;
    shm::ConsumerOptions options{.max_batch = 1, .wait = kNoSpin};
    if (input_.Byte() % 2 == 0)
      options.order = input_.Byte() % 2 == 0 ? shm::ReadOrder::kNext : shm::ReadOrder::kLatest;
    if (input_.Byte() % 4 == 0) options.start = shm::JoinPoint::Oldest();
    if (input_.Byte() % 4 == 0) options.when_slow = shm::WhenSlow::kCutOff;
    if (input_.Byte() % 4 == 0) options.patience = absl::Nanoseconds(1);
    absl::StatusOr<std::unique_ptr<DataBlockConsumer>> opened =
        DataBlockConsumer::OpenSealed(*descriptors, options);
    if (!opened.ok()) return RequireReason(opened.status());
    reader.consumer = *std::move(opened);
  }

  void Follow(Reader& reader) {
    if (reader.consumer == nullptr) return;
    bool forged = false;
    const std::optional<ConsumerDescriptors> successor = Choose(&forged);
    if (!successor.has_value()) return;
    const absl::Status status = reader.consumer->Follow(*successor);
    if (!status.ok()) return RequireReason(status);
    reader.is_forged = forged;
  }

  const std::vector<size_t>* CommittedBytesOf(const DataBlockConsumer& consumer) const {
    const auto found = std::find_if(segments_.begin(), segments_.end(), [&](const Segment& segment) {
      return segment.handed_over.segment_id == consumer.segment_id();
    });
    return found == segments_.end() ? nullptr : &found->committed_bytes;
  }

  void Consume(Reader& reader) {
    if (reader.consumer == nullptr) return;
    DataBlockConsumer& consumer = *reader.consumer;
    std::vector<std::byte> zone(consumer.config().zone_bytes);
    if (!zone.empty()) (void)consumer.ReadZone(zone);
    consumer.ProducerIsAlive();
    shm::ReadSlot slot = consumer.Acquire(kAtOnce);
    if (!slot) {
      const bool corrupt = slot.result() == SlotResult::kCorrupt || slot.result() == SlotResult::kOverrun;
      Require(!corrupt || reader.is_forged, "only forged slots are corrupt");
      return;
    }
    const SlotView view = slot.view();
    const auto filler = static_cast<std::byte>(FillerOf(view.sequence));
    const auto is_right = [&] {
      return std::all_of(view.payload.begin(), view.payload.end(),
                         [=](std::byte byte) { return byte == filler; });
    };
    const std::vector<size_t>* const committed_bytes = CommittedBytesOf(consumer);
    if (!reader.is_forged && committed_bytes != nullptr) {
      Require(view.sequence < committed_bytes->size() &&
                  view.payload.size() == (*committed_bytes)[view.sequence] && is_right(),
              "a slot is what was written as that slot");
    }
    // While it is held the others go on.
    if (input_.Byte() % 2 == 0) {
      Produce();
      Renew();
      SpoilShared();
      Produce();
    }
    const bool right = is_right();
    const SlotResult result = slot.Release();
    Require(right || reader.is_forged || result == SlotResult::kOverrun,
            "wrong data does not pass unnoticed");
  }

  void End(Reader& reader) {
    if (input_.Byte() % 3 == 0) {
      producer_.reset();
    } else {
      reader = {};
    }
  }

  // --- the others

  // What a consumer can write: its part, and the bell.
  void SpoilShared() {
    if (segments_.empty()) return;
    const SegmentDescriptors& all = segments_[input_.Byte() % segments_.size()].handed_over.descriptors;
    const size_t part = input_.Byte() % (all.parts.size() + 1);
    const UniqueFd& memory = part == all.parts.size() ? all.bell : all.parts[part];
    const off_t size = lseek(memory.get(), 0, SEEK_END);
    if (size < 8) return;
    const auto offset = static_cast<off_t>(8 * (input_.Number(2) % static_cast<uint64_t>(size / 8)));
    uint64_t word = 0;
    Require(pread(memory.get(), &word, sizeof(word), offset) == sizeof(word), "a part can be read");
    word = input_.Replacement(word);
    Require(pwrite(memory.get(), &word, sizeof(word), offset) == sizeof(word), "and be written");
  }

  // A packet of any bytes, with any number of descriptors.
  void Receive() {
    testing::SocketPair sockets;
    for (int packets = 1 + input_.Byte() % 2; packets > 0; --packets) SendPacket(sockets.first());
    if (input_.Byte() % 2 == 0) {
      const auto received = shm::ReceiveSegment(sockets.second(), kAtOnce);
      if (!received.ok()) RequireReason(received.status());
    } else {
      const auto received = shm::ReceiveWholeSegment(sockets.second(), kAtOnce);
      if (!received.ok()) RequireReason(received.status());
    }
  }
  void SendPacket(int socket) {
    std::string packet;
    if (input_.Byte() % 4 != 0) packet = "PLHPARC1";
    for (int words = input_.Byte() % 8; words > 0; --words) {
      const auto word = static_cast<uint32_t>(input_.Replacement(3));
      packet.append(reinterpret_cast<const char*>(&word), sizeof(word));
    }
    packet.resize(packet.size() + input_.Byte() % 9);
    iovec bytes = {packet.data(), packet.size()};
    alignas(cmsghdr) char ancillary[CMSG_SPACE(8 * sizeof(int))] = {};
    msghdr message = {};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    const size_t descriptors = input_.Byte() % 8;
    if (descriptors != 0) {
      message.msg_control = ancillary;
      message.msg_controllen = CMSG_SPACE(descriptors * sizeof(int));
      cmsghdr* const header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(descriptors * sizeof(int));
      for (size_t i = 0; i < descriptors; ++i)
        std::memcpy(CMSG_DATA(header) + i * sizeof(int), &socket, sizeof(int));
    }
    sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  }

  Input input_;
  ChannelConfig config_;
  std::vector<Segment> segments_;
  std::unique_ptr<DataBlockProducer> producer_;
  std::array<Reader, kConsumers> readers_;
};

}  // namespace
}  // namespace pylabhub::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  pylabhub::fuzz::Program(pylabhub::fuzz::Input(data, bytes)).Run();
  return 0;
}
