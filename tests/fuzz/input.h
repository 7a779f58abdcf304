// A fuzzer's bytes, taken apart into the steps of a test: whatever they are, they mean something, and an input that is
// at its end goes on with zeros.
//
// Thread safety: thread-compatible.
#ifndef PYLABHUB_TESTS_FUZZ_INPUT_H_
#define PYLABHUB_TESTS_FUZZ_INPUT_H_

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>

namespace pylabhub::fuzz {

class Input {
 public:
  Input(const uint8_t* data, size_t bytes) : rest_(data, bytes) {}

  bool empty() const { return rest_.empty(); }
  std::span<const uint8_t> rest() const { return rest_; }

  uint8_t Byte() {
    if (rest_.empty()) return 0;
    const uint8_t byte = rest_.front();
    rest_ = rest_.subspan(1);
    return byte;
  }
  // Of `bytes` bytes, least significant first.
  uint64_t Number(int bytes) {
    uint64_t number = 0;
    for (int i = 0; i < bytes; ++i) number |= uint64_t{Byte()} << (8 * i);
    return number;
  }
  uint64_t Below(uint64_t end) { return Number(end <= 256 ? 1 : 4) % end; }

  // What somebody might write over `old`: a number near it, a small one, one at an edge, or any. Two bytes as a rule,
  // so that a short input says much.
  uint64_t Replacement(uint64_t old) {
    static constexpr uint64_t kEdges[] = {0,
                                          1,
                                          UINT8_MAX,
                                          UINT16_MAX,
                                          INT32_MAX,
                                          UINT32_MAX,
                                          uint64_t{1} << 32,
                                          INT64_MAX,
                                          uint64_t{1} << 63,
                                          UINT64_MAX};
    switch (Byte() % 6) {
      case 0:
        return Byte();
      case 1:
        return old + Byte();
      case 2:
        return old - Byte();
      case 3:
        return kEdges[Byte() % std::size(kEdges)];
      case 4:
        return uint64_t{1} << (Byte() % 64);
      default:
        return Number(8);
    }
  }

 private:
  std::span<const uint8_t> rest_;
};

}  // namespace pylabhub::fuzz

#endif  // PYLABHUB_TESTS_FUZZ_INPUT_H_
