#include "client/recording/table.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace pylabhub::recording {
namespace {

constexpr size_t kHashSlots = 521;
// Of what is compressed two chunks at least must fit, or each write would compress a chunk again.
constexpr size_t kChunksKept = 2;

// Chunks that are not compressed and do not fit into the cache are written and read in place. No cache at all is what makes
// appending as fast as write(), and leaves nothing to be written at a flush.
absl::StatusOr<Hid> AccessTo(const Hid& group, const std::string& name, const std::string& doing) {
  const absl::StatusOr<Hid> plain = Own(H5Dopen2(group.get(), name.c_str(), H5P_DEFAULT), doing);
  if (!plain.ok()) return plain.status();
  const absl::StatusOr<Hid> made = Own(H5Dget_create_plist(plain->get()), doing);
  if (!made.ok()) return made.status();
  const absl::StatusOr<Hid> type = Own(H5Dget_type(plain->get()), doing);
  if (!type.ok()) return type.status();
  hsize_t chunk_rows = 0;
  size_t cache_bytes = 0;
  if (H5Pget_layout(made->get()) == H5D_CHUNKED && H5Pget_chunk(made->get(), 1, &chunk_rows) == 1 &&
      H5Pget_nfilters(made->get()) > 0) {
    cache_bytes = kChunksKept * static_cast<size_t>(chunk_rows) * H5Tget_size(type->get());
  }
  absl::StatusOr<Hid> access = Own(H5Pcreate(H5P_DATASET_ACCESS), doing);
  if (!access.ok()) return access;
  if (H5Pset_chunk_cache(access->get(), kHashSlots, cache_bytes, 1.0) < 0) return Hdf5Error(doing);
  return access;
}

// The rows [first, first + count) of the dataset, selected.
absl::StatusOr<Hid> SelectRows(const Hid& dataset, hsize_t first, hsize_t count, const std::string& doing) {
  absl::StatusOr<Hid> space = Own(H5Dget_space(dataset.get()), doing);
  if (!space.ok()) return space;
  if (H5Sselect_hyperslab(space->get(), H5S_SELECT_SET, &first, nullptr, &count, nullptr) < 0) {
    return Hdf5Error(doing);
  }
  return space;
}

absl::StatusOr<Hid> RowsInMemory(hsize_t count, const std::string& doing) {
  return Own(H5Screate_simple(1, &count, nullptr), doing);
}

}  // namespace

absl::Status Table::Create(const Hid& group, const std::string& name, const Hid& row_type,
                           const TableShape& shape) {
  const std::string doing = absl::StrCat("creating ", name);
  const absl::StatusOr<Hid> properties = Own(H5Pcreate(H5P_DATASET_CREATE), doing);
  if (!properties.ok()) return properties.status();
  const hsize_t chunk_rows = shape.chunk_rows;
  // Every row that is ever seen has been written: nothing needs filling.
  if (H5Pset_chunk(properties->get(), 1, &chunk_rows) < 0 ||
      H5Pset_fill_time(properties->get(), H5D_FILL_TIME_NEVER) < 0) {
    return Hdf5Error(doing);
  }
  if (shape.compression_level > 0 &&
      (H5Pset_shuffle(properties->get()) < 0 ||
       H5Pset_deflate(properties->get(), static_cast<unsigned>(shape.compression_level)) < 0)) {
    return Hdf5Error(doing);
  }
  const hsize_t no_rows = 0;
  const hsize_t any_rows = H5S_UNLIMITED;
  const absl::StatusOr<Hid> space = Own(H5Screate_simple(1, &no_rows, &any_rows), doing);
  if (!space.ok()) return space.status();
  return Own(H5Dcreate2(group.get(), name.c_str(), row_type.get(), space->get(), H5P_DEFAULT,
                        properties->get(), H5P_DEFAULT),
             doing)
      .status();
}

Table::Table(std::string name, Hid dataset, Hid row_type, uint64_t rows)
    : name_(std::move(name)),
      dataset_(std::move(dataset)),
      row_type_(std::move(row_type)),
      rows_(rows),
      row_bytes_(H5Tget_size(row_type_.get())) {}

absl::StatusOr<Table> Table::Open(const Hid& group, const std::string& name) {
  const std::string doing = absl::StrCat("opening ", name);
  const absl::StatusOr<Hid> access = AccessTo(group, name, doing);
  if (!access.ok()) return access.status();
  absl::StatusOr<Hid> dataset = Own(H5Dopen2(group.get(), name.c_str(), access->get()), doing);
  if (!dataset.ok()) return dataset.status();
  absl::StatusOr<Hid> type = Own(H5Dget_type(dataset->get()), doing);
  if (!type.ok()) return type.status();
  const absl::StatusOr<Hid> space = Own(H5Dget_space(dataset->get()), doing);
  if (!space.ok()) return space.status();
  if (H5Sget_simple_extent_ndims(space->get()) != 1) {
    return absl::DataLossError(absl::StrCat(doing, ": it does not have one dimension"));
  }
  hsize_t rows = 0;
  if (H5Sget_simple_extent_dims(space->get(), &rows, nullptr) < 0) return Hdf5Error(doing);
  return Table(name, *std::move(dataset), *std::move(type), rows);
}

absl::Status Table::Append(const void* rows, uint64_t count) {
  if (count == 0) return absl::OkStatus();
  const std::string doing = absl::StrCat("writing ", name_);
  const hsize_t rows_after = rows_ + count;
  if (H5Dset_extent(dataset_.get(), &rows_after) < 0) return Hdf5Error(doing);
  const absl::StatusOr<Hid> target = SelectRows(dataset_, rows_, count, doing);
  if (!target.ok()) return target.status();
  const absl::StatusOr<Hid> source = RowsInMemory(count, doing);
  if (!source.ok()) return source.status();
  if (H5Dwrite(dataset_.get(), row_type_.get(), source->get(), target->get(), H5P_DEFAULT, rows) < 0) {
    absl::Status status = Hdf5Error(doing);
    // Rows that were not written must not be seen.
    const hsize_t rows_before = rows_;
    H5Dset_extent(dataset_.get(), &rows_before);
    return status;
  }
  rows_ = rows_after;
  return absl::OkStatus();
}

void Table::Abandon() {
  dataset_.Abandon();
  row_type_.Abandon();
}

absl::Status Table::Flush() { return Check(H5Dflush(dataset_.get()), absl::StrCat("flushing ", name_)); }

absl::Status Table::Read(uint64_t first, uint64_t count, void* rows) const {
  if (count == 0) return absl::OkStatus();
  const std::string doing = absl::StrCat("reading ", name_);
  const absl::StatusOr<Hid> source = SelectRows(dataset_, first, count, doing);
  if (!source.ok()) return source.status();
  const absl::StatusOr<Hid> target = RowsInMemory(count, doing);
  if (!target.ok()) return target.status();
  return Check(H5Dread(dataset_.get(), row_type_.get(), target->get(), source->get(), H5P_DEFAULT, rows),
               doing);
}

}  // namespace pylabhub::recording
