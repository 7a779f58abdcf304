// HDF5 types: a channel's record as a compound type, and the rows of format.h.
//
// A record's type has the record's size and its fields' offsets, so that records are written and read as they lie in memory,
// padding included, with no conversion. `outer.inner` becomes a compound in a compound, where the names allow it. Numbers are
// little-endian; a bool is the enumeration FALSE, TRUE that h5py takes for one; characters are text padded with zeros.
//
// Thread safety: hdf5.h.
#ifndef PYLABHUB_CLIENT_RECORDING_RECORD_TYPE_H_
#define PYLABHUB_CLIENT_RECORDING_RECORD_TYPE_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "client/recording/hdf5.h"
#include "shm/schema.h"

namespace pylabhub::recording {

// The names of an integer field's values.
using EnumValues = std::vector<std::pair<std::string, int64_t>>;
// By the field's name as the schema has it.
using EnumFields = std::map<std::string, EnumValues>;

// The type of a row of `records`: of opaque bytes, a byte. A schema with so many fields that HDF5 cannot describe it (64 KiB)
// gives records with no structure (H5T_OPAQUE). `schema` must be valid; names that do not fit their field are left out.
absl::StatusOr<Hid> RecordType(const shm::Schema& schema, const EnumFields& enums = {});

absl::StatusOr<Hid> SlotRowType();
absl::StatusOr<Hid> GapRowType();
absl::StatusOr<Hid> SegmentRowType();

}  // namespace pylabhub::recording

#endif  // PYLABHUB_CLIENT_RECORDING_RECORD_TYPE_H_
