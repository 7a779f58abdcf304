#include "client/recording/record_type.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "client/recording/format.h"

namespace pylabhub::recording {
namespace {

using shm::Field;
using shm::ScalarType;

// Of the 64 KiB that a message of an object header may have.
constexpr size_t kDescribableBytes = 60'000;

hid_t NumberType(ScalarType type) {
  switch (type) {
    case ScalarType::kBool:
    case ScalarType::kInt8:
      return H5T_STD_I8LE;
    case ScalarType::kChar:
    case ScalarType::kUint8:
      return H5T_STD_U8LE;
    case ScalarType::kInt16:
      return H5T_STD_I16LE;
    case ScalarType::kInt32:
      return H5T_STD_I32LE;
    case ScalarType::kInt64:
      return H5T_STD_I64LE;
    case ScalarType::kUint16:
      return H5T_STD_U16LE;
    case ScalarType::kUint32:
      return H5T_STD_U32LE;
    case ScalarType::kUint64:
      return H5T_STD_U64LE;
    case ScalarType::kFloat32:
      return H5T_IEEE_F32LE;
    case ScalarType::kFloat64:
      return H5T_IEEE_F64LE;
  }
  return H5I_INVALID_HID;
}

bool IsInteger(ScalarType type) {
  return type != ScalarType::kBool && type != ScalarType::kChar && type != ScalarType::kFloat32 &&
         type != ScalarType::kFloat64;
}

// What HDF5 does not take (a name twice, a value twice) is left out: the numbers are what is recorded.
absl::StatusOr<Hid> EnumType(ScalarType type, const EnumValues& values) {
  absl::StatusOr<Hid> made = Own(H5Tenum_create(NumberType(type)), "making a type of an enumeration");
  if (!made.ok()) return made;
  for (const auto& [name, number] : values) {
    // Little-endian: its first bytes are the number in fewer bytes.
    std::array<std::byte, sizeof(number)> bytes;
    std::memcpy(bytes.data(), &number, sizeof(number));
    if (H5Tenum_insert(made->get(), name.c_str(), bytes.data()) < 0) H5Eclear2(H5E_DEFAULT);
  }
  return made;
}

absl::StatusOr<Hid> ValueType(const Field& field, const EnumFields& enums) {
  if (field.type == ScalarType::kBool) return EnumType(field.type, {{"FALSE", 0}, {"TRUE", 1}});
  const auto named = enums.find(field.name);
  if (named != enums.end() && !named->second.empty() && IsInteger(field.type)) {
    return EnumType(field.type, named->second);
  }
  return Own(H5Tcopy(NumberType(field.type)), "making a type of a number");
}

absl::StatusOr<Hid> FieldType(const Field& field, const EnumFields& enums) {
  if (field.type == ScalarType::kChar) return TextType(field.count);
  absl::StatusOr<Hid> value = ValueType(field, enums);
  if (!value.ok() || field.count == 1) return value;
  const hsize_t count = field.count;
  return Own(H5Tarray_create2(value->get(), 1, &count), "making a type of an array");
}

absl::Status Insert(const Hid& compound, const std::string& name, size_t offset_bytes, const Hid& type) {
  return Check(H5Tinsert(compound.get(), name.c_str(), offset_bytes, type.get()),
               absl::StrCat("describing field ", name));
}

absl::StatusOr<Hid> Compound(size_t bytes) {
  return Own(H5Tcreate(H5T_COMPOUND, bytes), "making a compound type");
}

// The names as they are, dots included.
absl::StatusOr<Hid> FlatType(const shm::Schema& schema, const EnumFields& enums) {
  absl::StatusOr<Hid> record = Compound(schema.record_bytes);
  if (!record.ok()) return record;
  for (const Field& field : schema.fields) {
    const absl::StatusOr<Hid> type = FieldType(field, enums);
    if (!type.ok()) return type.status();
    if (absl::Status status = Insert(*record, field.name, field.offset_bytes, *type); !status.ok())
      return status;
  }
  return record;
}

// Fields in a row that are members of one struct, whose names all begin with the first `prefix` characters.
absl::StatusOr<Hid> StructType(std::span<const Field> fields, size_t prefix, size_t offset_bytes,
                               size_t bytes, const EnumFields& enums) {
  absl::StatusOr<Hid> made = Compound(bytes);
  if (!made.ok()) return made;
  while (!fields.empty()) {
    const Field& first = fields.front();
    const size_t dot = first.name.find('.', prefix);
    const std::string name = first.name.substr(prefix, dot == std::string::npos ? dot : dot - prefix);
    absl::StatusOr<Hid> type = Hid();
    size_t taken = 1;
    if (dot == std::string::npos) {
      type = FieldType(first, enums);
    } else {
      const absl::string_view shared = absl::string_view(first.name).substr(0, dot + 1);
      while (taken < fields.size() && absl::string_view(fields[taken].name).substr(0, dot + 1) == shared)
        ++taken;
      const Field& last = fields[taken - 1];
      type = StructType(fields.first(taken), dot + 1, first.offset_bytes,
                        last.offset_bytes + last.bytes() - first.offset_bytes, enums);
    }
    if (!type.ok()) return type;
    if (absl::Status status = Insert(*made, name, first.offset_bytes - offset_bytes, *type); !status.ok()) {
      return status;
    }
    fields = fields.subspan(taken);
  }
  return made;
}

absl::StatusOr<Hid> GapKindType() {
  EnumValues names;
  for (const GapKind kind : kAllGapKinds) names.emplace_back(NameOf(kind), static_cast<int64_t>(kind));
  return EnumType(ScalarType::kUint8, names);
}

struct Column {
  const char* name;
  size_t offset_bytes;
  hid_t type;
};

absl::StatusOr<Hid> RowType(size_t bytes, std::initializer_list<Column> columns) {
  absl::StatusOr<Hid> row = Compound(bytes);
  if (!row.ok()) return row;
  for (const Column& column : columns) {
    if (H5Tinsert(row->get(), column.name, column.offset_bytes, column.type) < 0) {
      return Hdf5Error(absl::StrCat("describing column ", column.name));
    }
  }
  return row;
}

}  // namespace

absl::StatusOr<Hid> RecordType(const shm::Schema& schema, const EnumFields& enums) {
  if (schema.opaque()) return Own(H5Tcopy(H5T_STD_U8LE), "making a type of a byte");
  absl::StatusOr<Hid> type = StructType(schema.fields, 0, 0, schema.record_bytes, enums);
  // A name that is a field's and a struct's too.
  if (!type.ok()) type = FlatType(schema, enums);
  if (!type.ok()) return type;
  size_t described_bytes = 0;
  if (H5Tencode(type->get(), nullptr, &described_bytes) < 0) return Hdf5Error("describing the record");
  if (described_bytes <= kDescribableBytes) return type;
  return Own(H5Tcreate(H5T_OPAQUE, schema.record_bytes), "making a type of bytes");
}

absl::StatusOr<Hid> SlotRowType() {
  return RowType(sizeof(SlotRow), {{"sequence", HOFFSET(SlotRow, sequence), H5T_STD_U64LE},
                                   {"timestamp_ns", HOFFSET(SlotRow, timestamp_ns), H5T_STD_I64LE},
                                   {"payload_bytes", HOFFSET(SlotRow, payload_bytes), H5T_STD_U64LE},
                                   {"first_record", HOFFSET(SlotRow, first_record), H5T_STD_U64LE},
                                   {"segment", HOFFSET(SlotRow, segment), H5T_STD_U32LE},
                                   {"redelivered", HOFFSET(SlotRow, redelivered), H5T_STD_U32LE}});
}

absl::StatusOr<Hid> GapRowType() {
  const absl::StatusOr<Hid> kind = GapKindType();
  if (!kind.ok()) return kind.status();
  return RowType(sizeof(GapRow), {{"before_slot", HOFFSET(GapRow, before_slot), H5T_STD_U64LE},
                                  {"missed_slots", HOFFSET(GapRow, missed_slots), H5T_STD_U64LE},
                                  {"noticed_ns", HOFFSET(GapRow, noticed_ns), H5T_STD_I64LE},
                                  {"segment", HOFFSET(GapRow, segment), H5T_STD_U32LE},
                                  {"kind", HOFFSET(GapRow, kind), kind->get()}});
}

absl::StatusOr<Hid> SegmentRowType() {
  const absl::StatusOr<Hid> id = TextType(sizeof(SegmentRow::segment_id));
  if (!id.ok()) return id.status();
  return RowType(sizeof(SegmentRow), {{"segment_id", HOFFSET(SegmentRow, segment_id), id->get()},
                                      {"first_slot", HOFFSET(SegmentRow, first_slot), H5T_STD_U64LE},
                                      {"attached_ns", HOFFSET(SegmentRow, attached_ns), H5T_STD_I64LE}});
}

}  // namespace pylabhub::recording
