#include "client/recording/hdf5.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace pylabhub::recording {
namespace {

// As much as an attribute may have.
constexpr size_t kMostTextBytes = size_t{64} << 10;

herr_t KeepInnermost(unsigned depth, const H5E_error2_t* error, void* message) {
  if (depth == 0) static_cast<std::string*>(message)->assign(error->desc);
  return 0;
}

// "unable to open file: name = 'a', errno = 2, error message = 'No such file or directory', flags = 40" has one part that is for
// people.
std::string InWords(const std::string& message) {
  constexpr absl::string_view kBegin = "error message = '";
  const size_t begin = message.find(kBegin.data());
  if (begin == std::string::npos) return message.empty() ? "failed" : message;
  const std::string words = message.substr(begin + kBegin.size());
  return words.substr(0, words.find('\''));
}

absl::StatusCode CodeOf(absl::string_view message) {
  if (absl::StrContains(message, "No space left on device")) return absl::StatusCode::kResourceExhausted;
  if (absl::StrContains(message, "Permission denied")) return absl::StatusCode::kPermissionDenied;
  if (absl::StrContains(message, "No such file or directory")) return absl::StatusCode::kNotFound;
  if (absl::StrContains(message, "File exists")) return absl::StatusCode::kAlreadyExists;
  return absl::StatusCode::kUnavailable;
}

absl::Status WriteScalar(const Hid& object, const std::string& name, const Hid& type, const void* value) {
  const std::string doing = absl::StrCat("writing attribute ", name);
  const absl::StatusOr<Hid> space = Own(H5Screate(H5S_SCALAR), doing);
  if (!space.ok()) return space.status();
  const absl::StatusOr<Hid> attribute =
      Own(H5Acreate2(object.get(), name.c_str(), type.get(), space->get(), H5P_DEFAULT, H5P_DEFAULT), doing);
  if (!attribute.ok()) return attribute.status();
  return Check(H5Awrite(attribute->get(), type.get(), value), doing);
}

}  // namespace

void SilenceHdf5() {
  // At the end of the process the library closes what is open, and does not survive it if the disk is full. Everything of
  // ours has an owner.
  H5dont_atexit();
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

absl::Status Hdf5Error(absl::string_view doing) {
  std::string message;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, KeepInnermost, &message);
  H5Eclear2(H5E_DEFAULT);
  return {CodeOf(message), absl::StrCat(doing, ": ", InWords(message))};
}

absl::StatusOr<Hid> Own(hid_t id, absl::string_view doing) {
  if (id < 0) return Hdf5Error(doing);
  return Hid(id);
}

absl::Status Check(herr_t result, absl::string_view doing) {
  return result < 0 ? Hdf5Error(doing) : absl::OkStatus();
}

absl::StatusOr<Hid> TextType(size_t bytes) {
  absl::StatusOr<Hid> type = Own(H5Tcopy(H5T_C_S1), "making a type of text");
  if (!type.ok()) return type;
  if (H5Tset_size(type->get(), std::max<size_t>(bytes, 1)) < 0 ||
      H5Tset_strpad(type->get(), H5T_STR_NULLPAD) < 0 || H5Tset_cset(type->get(), H5T_CSET_UTF8) < 0) {
    return Hdf5Error("making a type of text");
  }
  return type;
}

absl::Status WriteAttribute(const Hid& object, const std::string& name, absl::string_view text) {
  const absl::StatusOr<Hid> type = TextType(text.size());
  if (!type.ok()) return type.status();
  // Its data() ends with a zero, which is what an empty text is written as.
  const std::string value(text);
  return WriteScalar(object, name, *type, value.data());
}

absl::Status WriteAttribute(const Hid& object, const std::string& name, uint64_t number) {
  const absl::StatusOr<Hid> type = Own(H5Tcopy(H5T_STD_U64LE), "making a type of a number");
  if (!type.ok()) return type.status();
  return WriteScalar(object, name, *type, &number);
}

absl::StatusOr<std::string> ReadText(const Hid& object, const std::string& name) {
  const std::string doing = absl::StrCat("reading attribute ", name);
  const absl::StatusOr<Hid> attribute = Own(H5Aopen(object.get(), name.c_str(), H5P_DEFAULT), doing);
  if (!attribute.ok()) return attribute.status();
  const absl::StatusOr<Hid> type = Own(H5Aget_type(attribute->get()), doing);
  if (!type.ok()) return type.status();
  const absl::StatusOr<Hid> space = Own(H5Aget_space(attribute->get()), doing);
  if (!space.ok()) return space.status();
  if (H5Tget_class(type->get()) != H5T_STRING || H5Tis_variable_str(type->get()) != 0 ||
      H5Sget_simple_extent_npoints(space->get()) != 1 || H5Tget_size(type->get()) > kMostTextBytes) {
    return absl::DataLossError(absl::StrCat(doing, ": it is not one text of a fixed size"));
  }
  std::string text(H5Tget_size(type->get()), '\0');
  if (absl::Status status = Check(H5Aread(attribute->get(), type->get(), text.data()), doing); !status.ok()) {
    return status;
  }
  text.resize(std::min(text.find('\0'), text.size()));
  return text;
}

absl::StatusOr<uint64_t> ReadNumber(const Hid& object, const std::string& name) {
  const std::string doing = absl::StrCat("reading attribute ", name);
  const absl::StatusOr<Hid> attribute = Own(H5Aopen(object.get(), name.c_str(), H5P_DEFAULT), doing);
  if (!attribute.ok()) return attribute.status();
  const absl::StatusOr<Hid> space = Own(H5Aget_space(attribute->get()), doing);
  if (!space.ok()) return space.status();
  if (H5Sget_simple_extent_npoints(space->get()) != 1) {
    return absl::DataLossError(absl::StrCat(doing, ": it is not one number"));
  }
  uint64_t number = 0;
  if (absl::Status status = Check(H5Aread(attribute->get(), H5T_NATIVE_UINT64, &number), doing);
      !status.ok()) {
    return status;
  }
  return number;
}

}  // namespace pylabhub::recording
