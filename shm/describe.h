// The schema of a C++ struct, compiled from the struct: names, types, counts, offsets and sizes are the
// compiler's, and only the units are typed.
//
//   struct Imu { double acceleration[3]; int64_t timestamp_ns; };
//   PYLABHUB_SCHEMA(Imu, (acceleration, "m/s2"), (timestamp_ns, "ns"));
//   Schema schema = SchemaOf<Imu>();
//
// The macro stands at namespace scope, in the namespace of the struct, and lists every member in order with
// its unit ("" for none). Members are arithmetic types, enums (described as their underlying integer), fixed
// arrays of these, and structs that are described themselves, whose members become "outer.inner". A member
// that is left out, also one that would fit into padding, or out of order, does not compile; neither does a
// record with a base class.
#ifndef PYLABHUB_SHM_DESCRIBE_H_
#define PYLABHUB_SHM_DESCRIBE_H_

#include <array>
#include <boost/preprocessor/punctuation/comma_if.hpp>
#include <boost/preprocessor/seq/for_each_i.hpp>
#include <boost/preprocessor/stringize.hpp>
#include <boost/preprocessor/tuple/elem.hpp>
#include <boost/preprocessor/variadic/to_seq.hpp>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "shm/schema.h"

namespace pylabhub::shm {

namespace describe_internal {

// One member as the macro sees it. `type` carries the C++ type without a value of it.
template <typename Member>
struct MemberOf {
  using type = Member;
  const char* name;
  const char* unit;
  size_t offset_bytes;
};

template <typename T>
concept Described = requires(const T* record) {
  PylabhubMembersOf(record, [](const auto&...) {});
};

template <typename T>
constexpr ScalarType ScalarTypeOf() {
  static_assert(std::is_arithmetic_v<T>,
                "a member is a number, an enum, an array of these, or a described struct");
  static_assert(!std::is_same_v<T, long double> && !std::is_same_v<T, wchar_t>,
                "its size differs between platforms");
  if constexpr (std::is_same_v<T, bool>) return ScalarType::kBool;
  if constexpr (std::is_same_v<T, char>) return ScalarType::kChar;
  if constexpr (std::is_floating_point_v<T>)
    return sizeof(T) == 4 ? ScalarType::kFloat32 : ScalarType::kFloat64;
  constexpr int kLog2Bytes = sizeof(T) == 1 ? 0 : sizeof(T) == 2 ? 1 : sizeof(T) == 4 ? 2 : 3;
  constexpr ScalarType kFirst = std::is_signed_v<T> ? ScalarType::kInt8 : ScalarType::kUint8;
  return static_cast<ScalarType>(static_cast<int>(kFirst) + kLog2Bytes);
}

template <typename T>
void AppendMembers(const std::string& prefix, size_t base_bytes, std::vector<Field>& fields);

template <typename Member>
void AppendMember(const std::string& name, const char* unit, size_t offset_bytes,
                  std::vector<Field>& fields) {
  using Element = std::remove_all_extents_t<Member>;
  // NOLINTNEXTLINE(bugprone-sizeof-expression): the two are the same for a scalar
  constexpr size_t kCount = sizeof(Member) / sizeof(Element);
  if constexpr (Described<Element>) {
    static_assert(!std::is_array_v<Member>,
                  "an array of structs has no schema yet: list its members as arrays");
    AppendMembers<Element>(absl::StrCat(name, "."), offset_bytes, fields);
  } else if constexpr (std::is_enum_v<Element>) {
    AppendMember<std::underlying_type_t<Element>[kCount]>(name, unit, offset_bytes, fields);
  } else {
    fields.push_back({.name = name,
                      .type = ScalarTypeOf<Element>(),
                      .count = static_cast<uint32_t>(kCount),
                      .offset_bytes = static_cast<uint32_t>(offset_bytes),
                      .unit = unit});
  }
}

template <typename T>
void AppendMembers(const std::string& prefix, size_t base_bytes, std::vector<Field>& fields) {
  PylabhubMembersOf(static_cast<const T*>(nullptr), [&](const auto&... members) {
    (AppendMember<typename std::remove_cvref_t<decltype(members)>::type>(
         absl::StrCat(prefix, members.name), members.unit, base_bytes + members.offset_bytes, fields),
     ...);
  });
}

// True if the members follow each other with no more between them than alignment asks for: nothing was left
// out that is larger than padding could be.
template <typename T>
consteval bool CoversRecord() {
  return PylabhubMembersOf(static_cast<const T*>(nullptr), [](const auto&... members) {
    size_t end_bytes = 0;
    bool covers = true;
    const auto visit = [&](size_t offset, size_t size, size_t alignment) {
      const size_t aligned_end = (end_bytes + alignment - 1) / alignment * alignment;
      covers = covers && offset == aligned_end;
      end_bytes = offset + size;
    };
    (visit(members.offset_bytes, sizeof(typename std::remove_cvref_t<decltype(members)>::type),
           alignof(typename std::remove_cvref_t<decltype(members)>::type)),
     ...);
    return covers && (end_bytes + alignof(T) - 1) / alignof(T) * alignof(T) == sizeof(T);
  });
}

}  // namespace describe_internal

// The schema of T, which PYLABHUB_SCHEMA describes.
template <typename T>
Schema SchemaOf() {
  static_assert(describe_internal::Described<T>,
                "say PYLABHUB_SCHEMA(T, (member, \"unit\"), ...) beside the struct");
  Schema schema{
      .name = PylabhubNameOf(static_cast<const T*>(nullptr)), .record_bytes = sizeof(T), .fields = {}};
  describe_internal::AppendMembers<T>("", 0, schema.fields);
  return schema;
}

}  // namespace pylabhub::shm

#define PYLABHUB_INTERNAL_MEMBER(r, Record, i, member)                                                   \
  BOOST_PP_COMMA_IF(                                                                                     \
      i)::pylabhub::shm::describe_internal::MemberOf<decltype(Record::BOOST_PP_TUPLE_ELEM(0, member))> { \
    BOOST_PP_STRINGIZE(BOOST_PP_TUPLE_ELEM(0, member)), BOOST_PP_TUPLE_ELEM(1, member),                  \
                       offsetof(Record, BOOST_PP_TUPLE_ELEM(0, member))                                  \
  }

#define PYLABHUB_INTERNAL_BRACES(r, data, i, member) {},

// True if `Record` has more members than are listed: it can be initialised from one more pair of braces.
#define PYLABHUB_INTERNAL_HAS_MORE(Record, ...)                                                         \
  ([]<typename R>(std::type_identity<R>) consteval {                                                    \
    return requires {                                                                                   \
      R{BOOST_PP_SEQ_FOR_EACH_I(PYLABHUB_INTERNAL_BRACES, _, BOOST_PP_VARIADIC_TO_SEQ(__VA_ARGS__)){}}; \
    };                                                                                                  \
  }(std::type_identity<Record>()))

#define PYLABHUB_SCHEMA(Record, ...)                                                                       \
  template <typename Visitor>                                                                              \
  constexpr auto PylabhubMembersOf(const Record*, const Visitor& visit) {                                  \
    return visit(                                                                                          \
        BOOST_PP_SEQ_FOR_EACH_I(PYLABHUB_INTERNAL_MEMBER, Record, BOOST_PP_VARIADIC_TO_SEQ(__VA_ARGS__))); \
  }                                                                                                        \
  constexpr const char* PylabhubNameOf(const Record*) { return #Record; }                                  \
  static_assert(std::is_trivially_copyable_v<Record> && std::is_standard_layout_v<Record>,                 \
                #Record " must be copyable as bytes, with its members in one class");                      \
  static_assert(!PYLABHUB_INTERNAL_HAS_MORE(Record, __VA_ARGS__),                                          \
                "PYLABHUB_SCHEMA(" #Record                                                                 \
                ") must list every member, also one that fits into padding, and have no base");            \
  static_assert(::pylabhub::shm::describe_internal::CoversRecord<Record>(),                                \
                "PYLABHUB_SCHEMA(" #Record ") must list every member, in order")

#endif  // PYLABHUB_SHM_DESCRIBE_H_
