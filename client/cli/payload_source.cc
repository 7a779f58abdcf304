#include "client/cli/payload_source.h"

#include <cstdint>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace pylabhub::cli {
namespace {

constexpr size_t kBlockBytes = size_t{64} << 10;
constexpr size_t kLongestLineBytes = size_t{64} << 20;

class RawSource final : public PayloadSource {
 public:
  explicit RawSource(Input input) : input_(std::move(input)) {}
  absl::StatusOr<size_t> Fill(std::span<std::byte> slot) override { return input_.ReadBlock(slot); }
  const Input& input() const override { return input_; }

 private:
  Input input_;
};

// The lines of an input that say something, counted from 1.
class LineReader {
 public:
  explicit LineReader(Input input) : input_(std::move(input)) {}

  // Nothing at the end.
  absl::StatusOr<std::optional<std::string>> Next() {
    while (true) {
      const size_t end = buffer_.find('\n', searched_);
      if (end == std::string::npos && !ended_) {
        searched_ = buffer_.size();
        if (absl::Status status = ReadOn(); !status.ok()) return status;
        continue;
      }
      if (end == std::string::npos && buffer_.empty()) return std::nullopt;
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end == std::string::npos ? end : end + 1);
      searched_ = 0;
      ++number_;
      if (!absl::StripAsciiWhitespace(line).empty())
        return std::string(absl::StripTrailingAsciiWhitespace(line));
    }
  }

  const Input& input() const { return input_; }

  absl::Status Wrong(const absl::Status& status) const {
    return absl::InvalidArgumentError(absl::StrCat("line ", number_, " of the input: ", status.message()));
  }

 private:
  absl::Status ReadOn() {
    if (buffer_.size() > kLongestLineBytes) {
      return absl::InvalidArgumentError(absl::StrCat("line ", number_ + 1, " of the input has no end"));
    }
    std::vector<std::byte> block(kBlockBytes);
    const absl::StatusOr<size_t> got = input_.ReadBlock(block);
    if (!got.ok()) return got.status();
    ended_ = *got == 0;
    buffer_.append(reinterpret_cast<const char*>(block.data()), *got);
    return absl::OkStatus();
  }

  Input input_;
  std::string buffer_;
  size_t searched_ = 0;  // of buffer_: no line ends before
  uint64_t number_ = 0;
  bool ended_ = false;
};

class JsonSource final : public PayloadSource {
 public:
  JsonSource(Input input, const shm::Schema& schema) : lines_(std::move(input)), encoder_(schema) {}

  absl::StatusOr<size_t> Fill(std::span<std::byte> slot) override {
    const absl::StatusOr<std::optional<std::string>> line = lines_.Next();
    if (!line.ok()) return line.status();
    if (!*line) return size_t{0};
    absl::StatusOr<size_t> payload_bytes = encoder_.FromJson(**line, slot);
    if (!payload_bytes.ok()) return lines_.Wrong(payload_bytes.status());
    return payload_bytes;
  }
  const Input& input() const override { return lines_.input(); }

 private:
  LineReader lines_;
  Encoder encoder_;
};

class CsvSource final : public PayloadSource {
 public:
  CsvSource(Input input, const shm::Schema& schema) : lines_(std::move(input)), encoder_(schema) {}

  absl::StatusOr<size_t> Fill(std::span<std::byte> slot) override {
    if (columns_.empty()) {
      const absl::StatusOr<std::vector<std::string>> header = NextRow();
      if (!header.ok() || header->empty()) return End(header);
      absl::StatusOr<std::vector<Encoder::Cell>> columns = encoder_.Columns(*header);
      if (!columns.ok()) return lines_.Wrong(columns.status());
      columns_ = *std::move(columns);
    }
    const absl::StatusOr<std::vector<std::string>> row = NextRow();
    if (!row.ok() || row->empty()) return End(row);
    absl::StatusOr<size_t> payload_bytes = encoder_.FromCsv(columns_, *row, slot);
    if (!payload_bytes.ok()) return lines_.Wrong(payload_bytes.status());
    return payload_bytes;
  }
  const Input& input() const override { return lines_.input(); }

 private:
  // Empty at the end.
  absl::StatusOr<std::vector<std::string>> NextRow() {
    const absl::StatusOr<std::optional<std::string>> line = lines_.Next();
    if (!line.ok()) return line.status();
    if (!*line) return std::vector<std::string>();
    absl::StatusOr<std::vector<std::string>> row = SplitCsv(**line);
    if (!row.ok()) return lines_.Wrong(row.status());
    return row;
  }

  static absl::StatusOr<size_t> End(const absl::StatusOr<std::vector<std::string>>& row) {
    if (!row.ok()) return row.status();
    return size_t{0};
  }

  LineReader lines_;
  Encoder encoder_;
  std::vector<Encoder::Cell> columns_;  // empty until the header is read
};

}  // namespace

std::unique_ptr<PayloadSource> NewPayloadSource(InputFormat format, Input input, const shm::Schema& schema) {
  switch (format) {
    case InputFormat::kCsv:
      return std::make_unique<CsvSource>(std::move(input), schema);
    case InputFormat::kJson:
      return std::make_unique<JsonSource>(std::move(input), schema);
    case InputFormat::kRaw:
      break;
  }
  return std::make_unique<RawSource>(std::move(input));
}

}  // namespace pylabhub::cli
