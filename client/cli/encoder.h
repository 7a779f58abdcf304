// Turns text into the bytes of records: the way back from what a Decoder shows.
//
// JSON: one line is one slot, an object keyed by field name that has every field; or {"records": [...]} of such objects, as
// `tail --output json` prints them, whose other members are passed over. A character array is a string, another array an
// array, and "NaN", "Infinity", "-Infinity" are the numbers that JSON has none for.
// CSV: one row is one record, whose columns the header names: `celsius`, and `position[0]` for a value of an array.
//
// What no field covers is zero. A value that a field cannot hold exactly enough (300 in a uint8, 1.5 in an int32) is an error.
//
// Thread safety: an Encoder is immutable.
// Errors:        kInvalidArgument names the field and what is wrong with its value.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "shm/schema.h"

namespace pylabhub::cli {

class Encoder {
 public:
  // `schema` must be valid and not opaque.
  explicit Encoder(shm::Schema schema) : schema_(std::move(schema)) {}

  // Fills the beginning of `payload`; returns how many bytes.
  absl::StatusOr<size_t> FromJson(absl::string_view line, std::span<std::byte> payload) const;

  // What a column stands for.
  struct Cell {
    size_t field = 0;  // its index in the schema
    uint32_t index = 0;
  };

  // The columns of a header; every value of every field must be named once.
  absl::StatusOr<std::vector<Cell>> Columns(const std::vector<std::string>& header) const;
  absl::StatusOr<size_t> FromCsv(const std::vector<Cell>& columns, const std::vector<std::string>& row,
                                 std::span<std::byte> payload) const;

 private:
  absl::Status RecordFromJson(const nlohmann::ordered_json& object, std::span<std::byte> record) const;

  shm::Schema schema_;
};

// The cells of a line of CSV: separated by commas, in double quotes where they hold one ("" is a quote). kInvalidArgument
// if a quote is not closed.
absl::StatusOr<std::vector<std::string>> SplitCsv(absl::string_view line);

}  // namespace pylabhub::cli
