#include "proto/tls/serial.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "proto/tls/openssl_pointers.h"

namespace pylabhub::tls {
namespace {

// RFC 5280 allows 20 octets.
constexpr size_t kMaxDigits = 40;

std::string WithoutLeadingZeros(std::string digits) {
  return digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size() - 1));
}

}  // namespace

std::string SerialText(const ASN1_INTEGER* number) {
  const BignumPtr big(ASN1_INTEGER_to_BN(number, nullptr));
  char* const digits = big == nullptr ? nullptr : BN_bn2hex(big.get());
  if (digits == nullptr) return "";
  std::string serial = WithoutLeadingZeros(absl::AsciiStrToLower(digits));
  OPENSSL_free(digits);
  return serial;
}

absl::StatusOr<std::string> ParseSerial(absl::string_view text) {
  const std::string lower = absl::AsciiStrToLower(text);
  absl::string_view rest = lower;
  absl::ConsumePrefix(&rest, "serial=");
  absl::ConsumePrefix(&rest, "0x");
  std::string digits;
  for (const char c : rest) {
    if (c != ':') digits += c;
  }
  const bool fits =
      !digits.empty() && digits.size() <= kMaxDigits &&
      std::all_of(digits.begin(), digits.end(), [](unsigned char c) { return absl::ascii_isxdigit(c); });
  if (fits) return WithoutLeadingZeros(std::move(digits));
  return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is no serial number: it must be 1 to ",
                                                 kMaxDigits, " hexadecimal digits"));
}

}  // namespace pylabhub::tls
