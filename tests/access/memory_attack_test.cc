// What a consumer, a producer and another process of the same user can do to memory that is handed over: each attack, and what it
// comes to. docs/security.md names these tests.
#include <dirent.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "shm/data_block_consumer.h"
#include "shm/data_block_producer.h"
#include "shm/os/kernel_lock.h"
#include "shm/os/memfd.h"
#include "shm/os/process_privacy.h"
#include "tests/support/child_process.h"
#include "tests/support/socket_pair.h"
#include "tests/support/stamped_slots.h"

namespace pylabhub::shm {
namespace {

using ::pylabhub::testing::ChildProcess;
using ::pylabhub::testing::IsStamped;
using ::pylabhub::testing::PutStamped;
using ::pylabhub::testing::ReadStamped;
using ::pylabhub::testing::Received;
using ::pylabhub::testing::SocketPair;
using ::testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Seconds(20);
constexpr uid_t kNobody = 65534;

ChannelConfig Config() {
  return {.channel = "attacked", .capacity_slots = 4, .slot_bytes = 4096, .max_consumers = 3};
}

std::unique_ptr<DataBlockProducer> Create(const ChannelConfig& config = Config()) {
  auto producer = DataBlockProducer::CreateSealed(config);
  EXPECT_TRUE(producer.ok()) << producer.status();
  return producer.ok() ? *std::move(producer) : nullptr;
}

std::unique_ptr<DataBlockConsumer> Open(const ConsumerDescriptors& descriptors) {
  auto consumer = DataBlockConsumer::OpenSealed(descriptors);
  EXPECT_TRUE(consumer.ok()) << consumer.status();
  return consumer.ok() ? *std::move(consumer) : nullptr;
}

ConsumerDescriptors For(const DataBlockProducer& producer, size_t part) {
  return *producer.descriptors()->ForConsumer(part);
}

void Send(int socket, const DataBlockProducer& producer, size_t part) {
  const absl::Status sent = SendSegment(socket, For(producer, part), "attacked", kPatience);
  EXPECT_TRUE(sent.ok()) << sent;
}

ConsumerDescriptors Receive(int socket) { return std::move(ReceiveSegment(socket, kPatience)->descriptors); }

// The same memory, opened anew for reading and writing, as /proc lets a process that may.
int ReopenForWriting(int fd) { return open(absl::StrCat("/proc/self/fd/", fd).c_str(), O_RDWR | O_CLOEXEC); }

bool CanBeMappedForWriting(int fd) {
  return mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED;
}

bool CanBeCut(int fd) {
  return ftruncate(fd, 0) == 0 || ftruncate(fd, 1 << 30) == 0 || fallocate(fd, 0, 1 << 24, 4096) == 0;
}

// A slot goes to each of the honest, and comes as it was written.
void ExpectThatSlotsFlow(DataBlockProducer& producer, DataBlockConsumer& honest, int slots) {
  for (int i = 0; i < slots; ++i) {
    const uint64_t sequence = producer.next_sequence();
    ASSERT_EQ(PutStamped(producer, kPatience), SlotResult::kOk) << i;
    ReadSlot slot = honest.Acquire(kPatience);
    ASSERT_TRUE(slot) << NameOf(slot.result());
    ASSERT_EQ(slot.missed_slots(), 0u);
    ASSERT_TRUE(IsStamped(slot.payload(), sequence));
    ASSERT_EQ(slot.Release(), SlotResult::kOk);
  }
}

// What this process has open or mapped of pylabhub's memory, by the names that the kernel shows.
std::set<std::string> NamesOfMemory() {
  std::set<std::string> names;
  const auto add = [&](const std::string& text) {
    const size_t at = text.find("/memfd:pylabhub.");
    if (at != std::string::npos) names.insert(text.substr(at + 7, text.find(' ', at) - at - 7));
  };
  DIR* const folder = opendir("/proc/self/fd");
  while (const dirent* entry = readdir(folder)) {
    char target[256] = {};
    const std::string path = absl::StrCat("/proc/self/fd/", entry->d_name);
    if (readlink(path.c_str(), target, sizeof(target) - 1) > 0) add(target);
  }
  closedir(folder);
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) add(line);
  return names;
}

// --- A hostile consumer.

TEST(MemoryAttackTest, AConsumerCannotWriteDataHoweverItOpensOrMapsIt) {
  SocketPair sockets;
  const auto producer = Create();
  const auto honest = Open(For(*producer, 0));
  ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  ChildProcess thief([&](const ChildProcess::Line&) {
    const ConsumerDescriptors mine = Receive(sockets.second());
    std::vector<int> ways = {mine.data.get()};
    // Root may open it so; the seal holds all the same.
    if (const int reopened = ReopenForWriting(mine.data.get()); reopened >= 0) ways.push_back(reopened);
    for (const int fd : ways) {
      if (CanBeMappedForWriting(fd)) return 1;
      if (pwrite(fd, "x", 1, 8192) == 1) return 2;
      if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0) return 3;
      if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == 0) return 4;
      void* view = mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd, 0);
      if (view == MAP_FAILED || mprotect(view, 4096, PROT_READ | PROT_WRITE) == 0) return 5;
    }
    return 0;
  });
  Send(sockets.first(), *producer, 1);
  EXPECT_EQ(thief.Wait(), 0);
  ReadSlot slot = honest->Acquire(kPatience);
  EXPECT_TRUE(slot && IsStamped(slot.payload(), 0));
  EXPECT_EQ(slot.Release(), SlotResult::kOk);
}

TEST(MemoryAttackTest, NobodyCutsAnyMemoryShortUnderTheOthers) {
  SocketPair sockets;
  const auto producer = Create();
  const auto honest = Open(For(*producer, 0));
  ChildProcess thief([&](const ChildProcess::Line&) {
    const ConsumerDescriptors mine = Receive(sockets.second());
    int way = 1;
    for (const int fd : {mine.data.get(), mine.bell.get(), mine.part.get()}) {
      const int reopened = ReopenForWriting(fd);
      if (CanBeCut(fd) || (reopened >= 0 && CanBeCut(reopened))) return way;
      ++way;
    }
    return 0;
  });
  Send(sockets.first(), *producer, 1);
  EXPECT_EQ(thief.Wait(), 0);
  ExpectThatSlotsFlow(*producer, *honest, 10);
}

TEST(MemoryAttackTest, AConsumerHasNoMemoryOfAnotherOne) {
  SocketPair sockets;
  const auto producer = Create();
  const auto honest = Open(For(*producer, 0));
  ChildProcess thief([&](const ChildProcess::Line& test) {
    // A fork of the producer's process has nothing.
    if (!NamesOfMemory().empty()) return 1;
    const auto consumer = Open(Receive(sockets.second()));
    const std::set<std::string> mine = {"pylabhub.attacked.data", "pylabhub.attacked.bell",
                                        "pylabhub.attacked.part1"};
    test.Signal();
    return NamesOfMemory() == mine ? 0 : 2;
  });
  Send(sockets.first(), *producer, 1);
  thief.line().Await();
  EXPECT_EQ(thief.Wait(), 0);
}

// Every byte that there could be a lock on, by an open of its own, as a consumer's is.
bool HoldAllLocks(const UniqueFd& descriptor) {
  const int fd = ReopenForWriting(descriptor.get());
  struct flock all = {};
  all.l_type = F_WRLCK;
  all.l_whence = SEEK_SET;
  return fd >= 0 && fcntl(fd, F_OFD_SETLK, &all) == 0;
}

TEST(MemoryAttackTest, HoldingEveryLockByteStopsNobodyElseAndDoesNotKeepAPlace) {
  SocketPair sockets;
  const auto producer = Create();
  const auto honest = Open(For(*producer, 0));
  ChildProcess thief([&](const ChildProcess::Line& test) {
    const ConsumerDescriptors mine = Receive(sockets.second());
    if (TryLockByte(mine.data.get(), kProducerLockByte).value_or(false)) return 1;
    if (!HoldAllLocks(mine.part) || !HoldAllLocks(mine.bell)) return 2;
    test.Signal();
    test.Await();
    return 0;
  });
  Send(sockets.first(), *producer, 1);
  ASSERT_EQ(thief.line().Await(), '.');
  ExpectThatSlotsFlow(*producer, *honest, 20);
  EXPECT_TRUE(honest->ProducerIsAlive());

  // Its place goes to another, though it holds the locks still.
  const auto renewed = producer->RenewParts({}, std::vector<uint32_t>{1});
  ASSERT_TRUE(renewed.ok()) << renewed.status();
  const auto newcomer = Open(For(*producer, 1));
  ASSERT_NE(newcomer, nullptr);
  EXPECT_EQ(newcomer->place(), 1u);
  ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  EXPECT_TRUE(newcomer->Acquire(kPatience));
  EXPECT_TRUE(honest->Acquire(kPatience));
  thief.line().Signal();
  EXPECT_EQ(thief.Wait(), 0);
}

TEST(MemoryAttackTest, AConsumerThatReadsNothingForEverIsEvictedWithAFreshPart) {
  SocketPair sockets;
  const auto producer = Create();
  const auto honest = Open(For(*producer, 0));
  ChildProcess thief([&](const ChildProcess::Line& test) {
    const auto consumer = Open(Receive(sockets.second()));
    test.Signal();
    test.Await();
    return consumer != nullptr ? 0 : 1;
  });
  Send(sockets.first(), *producer, 2);
  ASSERT_EQ(thief.line().Await(), '.');
  ExpectThatSlotsFlow(*producer, *honest, 4);
  EXPECT_EQ(producer->Acquire(absl::Milliseconds(30)).result(), SlotResult::kTimeout);
  ASSERT_TRUE(producer->RenewParts({}, std::vector<uint32_t>{2}).ok());
  ExpectThatSlotsFlow(*producer, *honest, 20);
  thief.line().Signal();
  EXPECT_EQ(thief.Wait(), 0);
}

constexpr char kLater = 0x5a;  // what is written after the move

bool Contains(const UniqueFd& memory, const std::string& bytes) {
  std::string all(static_cast<size_t>(lseek(memory.get(), 0, SEEK_END)), '\0');
  return pread(memory.get(), all.data(), all.size(), 0) != static_cast<ssize_t>(all.size()) ||
         absl::StrContains(all, bytes);
}

TEST(MemoryAttackTest, WhoIsExcludedByMovingOnSeesNoLaterSlotInTheMemoryThatItKeeps) {
  SocketPair sockets;
  const auto producer = Create();
  ChildProcess excluded([&](const ChildProcess::Line& test) {
    const ConsumerDescriptors mine = Receive(sockets.second());
    const auto consumer = Open(mine);
    test.Signal();
    test.Await();
    const Received received = ReadStamped(*consumer, kPatience);
    if (received.slots != 2 || received.wrong != 0 || received.end != SlotResult::kProducerClosed) return 1;
    return Contains(mine.data, std::string(64, kLater)) ? 2 : 0;
  });
  Send(sockets.first(), *producer, 1);
  ASSERT_EQ(excluded.line().Await(), '.');
  for (int i = 0; i < 2; ++i) ASSERT_EQ(PutStamped(*producer, kPatience), SlotResult::kOk);
  producer->RequestMoveOn({1}, [](const absl::StatusOr<HandedOver>& moved) { EXPECT_TRUE(moved.ok()); });
  for (int i = 0; i < 10; ++i) {
    WriteSlot slot = producer->Acquire(kPatience);
    ASSERT_TRUE(slot);
    std::fill(slot.payload().begin(), slot.payload().end(), std::byte{kLater});
    ASSERT_EQ(slot.Commit(4096), SlotResult::kOk);
  }
  excluded.line().Signal();
  EXPECT_EQ(excluded.Wait(), 0);
}

// --- A rogue producer.

// Memory of `bytes` bytes with these seals.
UniqueFd Memory(size_t bytes, int seals, bool with_pages = true) {
  UniqueFd memfd = UniqueFd::Make([] { return memfd_create("attack", MFD_CLOEXEC | MFD_ALLOW_SEALING); });
  EXPECT_EQ(with_pages && bytes != 0 ? fallocate(memfd.get(), 0, 0, static_cast<off_t>(bytes))
                                     : ftruncate(memfd.get(), static_cast<off_t>(bytes)),
            0);
  EXPECT_EQ(seals == 0 ? 0 : fcntl(memfd.get(), F_ADD_SEALS, seals), 0);
  return memfd;
}

TEST(RogueProducerTest, WhatIsNotSealedMemoryIsRefusedBeforeItIsMapped) {
  constexpr int kSize = F_SEAL_SHRINK | F_SEAL_GROW;
  constexpr int kShared = kSize | F_SEAL_SEAL;
  constexpr int kData = kShared | F_SEAL_FUTURE_WRITE;
  constexpr size_t kBytes = 1 << 20;
  const std::string folder = ::testing::TempDir();
  const struct {
    std::string what;
    std::function<UniqueFd()> make;
    std::string data_refusal, other_refusal;
    bool is_sealed = false;  // as a part is
  } kinds[] = {
      {"a regular file",
       [&] { return UniqueFd::Open(absl::StrCat(folder, "/file"), O_RDWR | O_CREAT | O_CLOEXEC, 0600); },
       "not a memfd", "not a memfd"},
      {"a directory", [&] { return UniqueFd::Open(folder, O_RDONLY | O_CLOEXEC); }, "not a memfd",
       "not a memfd"},
      {"a pipe",
       [] {
         int both[2] = {-1, -1};
         EXPECT_EQ(pipe2(both, O_CLOEXEC), 0);
         close(both[1]);
         return UniqueFd(both[0]);
       },
       "not a memfd", "not a memfd"},
      {"a socket", [] { return UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)); }, "not a memfd",
       "not a memfd"},
      {"endless zeros", [] { return UniqueFd::Open("/dev/zero", O_RDWR | O_CLOEXEC); }, "not a memfd",
       "not a memfd"},
      {"memory without seals", [] { return Memory(kBytes, 0); }, "lacks the seals F_SEAL_SHRINK",
       "lacks the seals F_SEAL_SHRINK"},
      {"memory that can be cut short", [] { return Memory(kBytes, F_SEAL_GROW | F_SEAL_SEAL); },
       "lacks the seals F_SEAL_SHRINK", "lacks the seals F_SEAL_SHRINK"},
      {"memory that can be sealed further", [] { return Memory(kBytes, kSize); }, "F_SEAL_SEAL",
       "F_SEAL_SEAL"},
      {"data that everybody can write", [] { return Memory(kBytes, kShared); }, "F_SEAL_FUTURE_WRITE",
       "descriptor: ", true},
      {"no bytes", [] { return Memory(0, kData); }, "it is empty", ""},
      {"memory without pages", [] { return Memory(kBytes, kData, /*with_pages=*/false); }, "have memory", ""},
      {"sealed memory with nothing in it", [] { return Memory(kBytes, kData); },
       "the segment is not finished", "", true},
  };
  const auto producer = Create();
  const auto refuse = [](const ConsumerDescriptors& rogue, const std::string& message,
                         const std::string& what) {
    const absl::Status status = DataBlockConsumer::OpenSealed(rogue).status();
    EXPECT_FALSE(status.ok()) << what;
    EXPECT_THAT(std::string(status.message()), HasSubstr(message)) << what;
  };
  for (const auto& kind : kinds) {
    ConsumerDescriptors as_data = For(*producer, 0), as_bell = For(*producer, 0), as_part = For(*producer, 0);
    as_data.data = kind.make();
    as_bell.bell = kind.make();
    as_part.part = kind.make();
    refuse(as_data, kind.data_refusal, absl::StrCat(kind.what, " as data"));
    refuse(as_bell, kind.other_refusal, absl::StrCat(kind.what, " as the bell"));
    refuse(as_part, kind.other_refusal, absl::StrCat(kind.what, " as a part"));
    // A producer that takes over looks as closely; but a consumer may have spoilt its own part, and stops nobody by it.
    std::vector<SegmentDescriptors> predecessors(1);
    predecessors[0] = *Create()->descriptors()->Duplicate();
    predecessors[0].parts[1] = kind.make();
    const auto next = DataBlockProducer::CreateSealed(Config(), {}, predecessors);
    EXPECT_EQ(next.ok(), kind.is_sealed) << kind.what << ": " << next.status();
  }
  unlink(absl::StrCat(folder, "/file").c_str());
}

TEST(RogueProducerTest, PartsOfAnotherSegmentAreRefused) {
  const auto producer = Create();
  const auto other = Create();
  ConsumerDescriptors mixed = For(*producer, 0);
  mixed.part = For(*other, 0).part;
  const absl::Status status = DataBlockConsumer::OpenSealed(mixed).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("do not belong together"));
}

// --- Another process of the same user.

// Becomes a user that is not root, and so like any other program of that user.
bool BecomeNobody() { return geteuid() != 0 || (setgid(kNobody) == 0 && setuid(kNobody) == 0); }

// How many of the memfds that process `pid` has open this process can open too; -1 if it cannot even list them.
int CountStolen(pid_t pid) {
  const std::string folder = absl::StrCat("/proc/", pid, "/fd");
  DIR* const fds = opendir(folder.c_str());
  if (fds == nullptr) return -1;
  int stolen = 0;
  while (const dirent* entry = readdir(fds)) {
    char target[256] = {};
    const std::string path = absl::StrCat(folder, "/", entry->d_name);
    if (readlink(path.c_str(), target, sizeof(target) - 1) <= 0) continue;
    if (!absl::StrContains(target, "/memfd:pylabhub.")) continue;
    if (open(path.c_str(), O_RDONLY | O_CLOEXEC) >= 0) ++stolen;
  }
  closedir(fds);
  return stolen;
}

bool CanOpenMemoryOf(pid_t pid) {
  return open(absl::StrCat("/proc/", pid, "/mem").c_str(), O_RDWR | O_CLOEXEC) >= 0;
}

class SameUserTest : public ::testing::Test {
 protected:
  // A producer of that user, which hides or does not, works, and waits.
  static int Produce(const ChildProcess::Line& test, bool hides) {
    if (!BecomeNobody()) return 1;
    // Becoming another user hides a process as well.
    if (hides ? !HideProcess().ok() : prctl(PR_SET_DUMPABLE, 1) != 0) return 2;
    const auto producer = Create();
    // It can still use what it has by /proc/self/fd.
    const auto consumer = Open(For(*producer, 0));
    if (consumer == nullptr || PutStamped(*producer, kPatience) != SlotResult::kOk) return 3;
    test.Signal();
    test.Await();
    return consumer->Acquire(kPatience) ? 0 : 4;
  }
  // What another process of that user finds: the number of descriptors, plus 100 if it can open the memory.
  static int Attack(pid_t victim) {
    ChildProcess thief([&](const ChildProcess::Line&) {
      if (!BecomeNobody()) return 255;
      return std::max(CountStolen(victim), 0) + (CanOpenMemoryOf(victim) ? 100 : 0);
    });
    return thief.Wait();
  }
};

TEST_F(SameUserTest, FindsNothingInAProcessThatHides) {
  ChildProcess victim([](const ChildProcess::Line& test) { return Produce(test, /*hides=*/true); });
  ASSERT_EQ(victim.line().Await(), '.');
  EXPECT_EQ(Attack(victim.pid()), 0);
  victim.line().Signal();
  EXPECT_EQ(victim.Wait(), 0);
}

TEST_F(SameUserTest, FindsEverythingInAProcessThatDoesNot) {
  ChildProcess victim([](const ChildProcess::Line& test) { return Produce(test, /*hides=*/false); });
  ASSERT_EQ(victim.line().Await(), '.');
  // Two descriptors each of data, bell and three parts, and those of the consumer. (Its memory too, unless Yama forbids that.)
  EXPECT_GE(Attack(victim.pid()) % 100, 10);
  victim.line().Signal();
  EXPECT_EQ(victim.Wait(), 0);
}

TEST(MemoryHygieneTest, NoMemoryGoesIntoCoreDumpsOrForks) {
  const auto producer = Create();
  const auto consumer = Open(For(*producer, 0));
  std::ifstream maps("/proc/self/smaps");
  int mappings = 0;
  bool ours = false;
  for (std::string line; std::getline(maps, line);) {
    if (absl::StrContains(line, "/memfd:pylabhub.")) ours = true;
    if (!ours || !absl::StartsWith(line, "VmFlags:")) continue;
    ++mappings;
    ours = false;
    EXPECT_THAT(line, HasSubstr(" dd")) << "not in a core dump";
    EXPECT_THAT(line, HasSubstr(" dc")) << "not in a child";
  }
  EXPECT_EQ(mappings, 8) << "data, bell and three parts; data, bell and one part";
}

}  // namespace
}  // namespace pylabhub::shm
