#include "broker/store/sqlite_format.h"

#include <xxhash.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace pylabhub::broker {
namespace {

// "plhb": which program's database it is, for `file` and for us.
constexpr uint32_t kApplicationId = 0x706c6862;
constexpr uint32_t kSchemaVersion = 1;
// Where SQLite keeps them, high byte first (its fileformat2.html).
constexpr size_t kHeaderBytes = 100;
constexpr size_t kVersionOffset = 60;
constexpr size_t kApplicationOffset = 68;
// Enough to see what is wrong.
constexpr size_t kMaxFindings = 8;

uint32_t BigEndian(const char* bytes) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

// What is wrong, as far as it is worth telling.
class Findings {
 public:
  void Add(std::string finding) {
    if (++count_ <= kMaxFindings) findings_.push_back(std::move(finding));
  }
  bool empty() const { return count_ == 0; }
  std::string text() const {
    std::string text = absl::StrJoin(findings_, "; ");
    if (count_ > kMaxFindings) absl::StrAppend(&text, "; and ", count_ - kMaxFindings, " more");
    return text;
  }

 private:
  std::vector<std::string> findings_;
  size_t count_ = 0;
};

void CheckStructure(SqliteConnection& connection, Findings& findings) {
  absl::StatusOr<SqliteStatement> statement = connection.Prepare("PRAGMA quick_check(8)");
  if (!statement.ok()) return findings.Add(std::string(statement.status().message()));
  while (true) {
    const absl::StatusOr<bool> row = statement->Step();
    if (!row.ok()) return findings.Add(std::string(row.status().message()));
    if (!*row) return;
    const std::string line(statement->Bytes(0));
    if (line != "ok") findings.Add(line);
  }
}

// Adds the rows that can be read in this order and were not read yet. False if not all could be.
bool ReadRows(SqliteConnection& connection, const std::string& order, std::set<std::string>& seen,
              CheckedRows& checked, Findings& findings) {
  auto statement = connection.Prepare("SELECT key, value, checksum FROM record ORDER BY key " + order);
  if (!statement.ok()) {
    findings.Add(std::string(statement.status().message()));
    return false;
  }
  absl::StatusOr<bool> row = statement->Step();
  for (; row.ok() && *row; row = statement->Step()) {
    std::string key(statement->Bytes(0));
    if (!seen.empty() && seen.contains(key)) continue;
    const absl::string_view value = statement->Bytes(1);
    const uint64_t checksum = ChecksumOfRow(key, value);
    if (checksum != static_cast<uint64_t>(statement->Integer(2))) {
      findings.Add(absl::StrCat("row \"", key, "\" does not fit its checksum"));
      continue;
    }
    ++checked.digest.row_count;
    checked.digest.sum += checksum;
    checked.rows.push_back({std::move(key), std::string(value)});
  }
  if (!row.ok()) findings.Add(std::string(row.status().message()));
  return row.ok();
}

absl::StatusOr<Digest> ReadDigest(SqliteConnection& connection) {
  auto statement = connection.Prepare("SELECT commit_number, row_count, sum, checksum FROM digest");
  if (!statement.ok()) return statement.status();
  const absl::StatusOr<bool> row = statement->Step();
  if (!row.ok()) return row.status();
  if (!*row) return absl::DataLossError("the digest is missing");
  const Digest digest = {.commit_number = static_cast<uint64_t>(statement->Integer(0)),
                         .row_count = static_cast<uint64_t>(statement->Integer(1)),
                         .sum = static_cast<uint64_t>(statement->Integer(2))};
  if (static_cast<uint64_t>(statement->Integer(3)) != ChecksumOf(digest)) {
    return absl::DataLossError("the digest does not fit its checksum");
  }
  return digest;
}

void CheckDigest(SqliteConnection& connection, uint64_t least_commit_number, CheckedRows& checked,
                 Findings& findings) {
  const absl::StatusOr<Digest> digest = ReadDigest(connection);
  if (!digest.ok()) return findings.Add(std::string(digest.status().message()));
  checked.digest.commit_number = digest->commit_number;
  if (checked.digest != *digest) {
    findings.Add(absl::StrCat(checked.digest.row_count, " sound rows are not the ", digest->row_count,
                              " that were committed"));
  }
  if (digest->commit_number < least_commit_number) {
    findings.Add(
        absl::StrCat("the last ", least_commit_number - digest->commit_number, " commits are missing"));
  }
}

}  // namespace

uint64_t ChecksumOfRow(absl::string_view key, absl::string_view value) {
  return XXH3_64bits_withSeed(value.data(), value.size(), XXH3_64bits(key.data(), key.size()));
}

uint64_t ChecksumOf(const Digest& digest) {
  const uint64_t numbers[] = {digest.commit_number, digest.row_count, digest.sum};
  return XXH3_64bits(numbers, sizeof(numbers));
}

absl::Status MakeStoreFile(const std::string& path) {
  absl::StatusOr<SqliteConnection> connection = SqliteConnection::Create(path);
  if (!connection.ok()) return connection.status();
  const Digest digest;
  // Not in a WAL yet, so that the header says from the first byte on whose file it is.
  absl::Status status = connection->Execute(absl::StrCat(
      "PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL; BEGIN; PRAGMA application_id = ",
      kApplicationId, "; PRAGMA user_version = ", kSchemaVersion,
      "; CREATE TABLE record(key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL, checksum INTEGER NOT NULL)"
      " WITHOUT ROWID, STRICT;"
      " CREATE TABLE digest(commit_number INTEGER NOT NULL, row_count INTEGER NOT NULL, sum INTEGER NOT NULL,"
      " checksum INTEGER NOT NULL) STRICT; INSERT INTO digest VALUES(0, 0, 0, ",
      static_cast<int64_t>(ChecksumOf(digest)), "); COMMIT"));
  return status;
}

absl::Status CheckStoreHeader(const std::string& path) {
  char header[kHeaderBytes] = {};
  std::ifstream file(path, std::ios::binary);
  file.read(header, sizeof(header));
  if (static_cast<size_t>(file.gcount()) != sizeof(header) ||
      std::memcmp(header, "SQLite format 3", 16) != 0) {
    return absl::DataLossError("its first bytes are damaged, so nothing can be read");
  }
  if (BigEndian(header + kApplicationOffset) != kApplicationId) {
    return absl::FailedPreconditionError("it is another program's database, or its first bytes are damaged");
  }
  if (const uint32_t version = BigEndian(header + kVersionOffset); version != kSchemaVersion) {
    return absl::FailedPreconditionError(absl::StrCat("it has version ", version,
                                                      ", and this broker knows only ", kSchemaVersion,
                                                      "; use the broker that wrote it"));
  }
  return absl::OkStatus();
}

absl::StatusOr<CheckedRows> ReadAndCheck(SqliteConnection& connection, uint64_t least_commit_number) {
  // One moment's state, also while a broker writes.
  absl::Status begun = connection.Execute("BEGIN");
  if (!begun.ok()) return begun;
  CheckedRows checked;
  Findings findings;
  CheckStructure(connection, findings);
  std::set<std::string> seen;
  if (!ReadRows(connection, "ASC", seen, checked, findings)) {
    // From the other end, up to what is damaged.
    for (const Row& row : checked.rows) seen.insert(row.key);
    ReadRows(connection, "DESC", seen, checked, findings);
  }
  CheckDigest(connection, least_commit_number, checked, findings);
  connection.Execute("COMMIT").IgnoreError();
  checked.damage = findings.text();
  return checked;
}

}  // namespace pylabhub::broker
