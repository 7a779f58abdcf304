// The peer that the broker's store is measured beside: LMDB, with every commit synchronised. No checksums, no digest.
#ifndef PYLABHUB_TESTS_BENCH_STORE_LMDB_STORE_H_
#define PYLABHUB_TESTS_BENCH_STORE_LMDB_STORE_H_

#include <lmdb.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "broker/store/store.h"

namespace pylabhub::bench {

// A failure ends the program: there is nothing to measure then.
class LmdbStore final : public broker::Store {
 public:
  explicit LmdbStore(const std::string& folder) {
    Check(mdb_env_create(&env_));
    Check(mdb_env_set_mapsize(env_, size_t{1} << 30));
    Check(mdb_env_open(env_, folder.c_str(), 0, 0600));
    MDB_txn* txn = nullptr;
    Check(mdb_txn_begin(env_, nullptr, 0, &txn));
    Check(mdb_dbi_open(txn, nullptr, 0, &dbi_));
    Check(mdb_txn_commit(txn));
  }
  ~LmdbStore() override { mdb_env_close(env_); }

  absl::StatusOr<broker::StoredRows> Load() override {
    broker::StoredRows stored;
    MDB_txn* txn = nullptr;
    MDB_cursor* cursor = nullptr;
    Check(mdb_txn_begin(env_, nullptr, MDB_RDONLY, &txn));
    Check(mdb_cursor_open(txn, dbi_, &cursor));
    MDB_val key;
    MDB_val value;
    while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
      stored.rows.push_back({std::string(static_cast<char*>(key.mv_data), key.mv_size),
                             std::string(static_cast<char*>(value.mv_data), value.mv_size)});
    }
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    return stored;
  }

  absl::Status Commit(const std::vector<broker::Row>& rows) override {
    MDB_txn* txn = nullptr;
    Check(mdb_txn_begin(env_, nullptr, 0, &txn));
    for (const broker::Row& row : rows) {
      MDB_val key = ValueOf(row.key);
      if (row.value.has_value()) {
        MDB_val value = ValueOf(*row.value);
        Check(mdb_put(txn, dbi_, &key, &value, 0));
      } else {
        mdb_del(txn, dbi_, &key, nullptr);
      }
    }
    Check(mdb_txn_commit(txn));
    return absl::OkStatus();
  }

 private:
  static MDB_val ValueOf(const std::string& bytes) {
    return {bytes.size(),
            const_cast<char*>(bytes.data())};  // NOLINT(cppcoreguidelines-pro-type-const-cast): C API
  }
  static void Check(int code) {
    if (code == 0) return;
    std::fprintf(stderr, "error: lmdb: %s\n", mdb_strerror(code));
    std::exit(1);
  }

  MDB_env* env_ = nullptr;
  MDB_dbi dbi_ = 0;
};

}  // namespace pylabhub::bench

#endif  // PYLABHUB_TESTS_BENCH_STORE_LMDB_STORE_H_
