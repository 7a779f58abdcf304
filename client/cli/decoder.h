// Turns the bytes of a slot into something to read, driven by the schema that the segment carries: the C++
// type need not be known.
//
// Text is for people: `celsius=21.5 Cel  timestamp_ns=1700000000 ns`. JSON is for programs: one object a
// record, keyed by field name, numbers as numbers (64-bit integers keep every digit), a character array as a
// string, another array as an array, and the values that JSON has no number for as "NaN", "Infinity",
// "-Infinity". Bytes that are not UTF-8 and control characters come out escaped, so that a producer cannot
// play tricks on a terminal.
//
// Thread safety: a Decoder is immutable.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "shm/schema.h"

namespace pylabhub::cli {

class Decoder {
 public:
  // `schema` must be valid.
  explicit Decoder(shm::Schema schema);

  // The records in `payload`, separated by " | ". A tail shorter than a record is told as such. Opaque bytes:
  // how many, and the first of them in hexadecimal.
  std::string Text(std::span<const std::byte> payload) const;

  // {"records": [...]} with {"trailing_bytes": N} if the last record is not whole; opaque bytes are
  // {"base64": "..."}.
  nlohmann::ordered_json Json(std::span<const std::byte> payload) const;

 private:
  std::string RecordText(const std::byte* record) const;
  nlohmann::ordered_json RecordJson(const std::byte* record) const;

  shm::Schema schema_;
};

}  // namespace pylabhub::cli
