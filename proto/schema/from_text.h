// A pylabhub.v1.Schema from its canonical text: for a process that has the text, as every segment does, and owes the
// broker the message.
//
// Thread safety: a free function with no shared state.
#ifndef PYLABHUB_PROTO_SCHEMA_FROM_TEXT_H_
#define PYLABHUB_PROTO_SCHEMA_FROM_TEXT_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/pylabhub/v1/schema.pb.h"

namespace pylabhub::schema {

// The valid schema whose canonical text is `text`. Fields called "outer.inner" become members of a struct "outer" that
// begins with the first of them and ends with the last. What the text leaves out (names of values, alignment,
// descriptions) is not stated.
//
// Errors:
//   kInvalidArgument  there is none: the text is not canonical, or a message cannot say what it says
absl::StatusOr<v1::Schema> FromCanonicalText(absl::string_view text);

}  // namespace pylabhub::schema

#endif  // PYLABHUB_PROTO_SCHEMA_FROM_TEXT_H_
