#include "broker/config_file.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>
#include <system_error>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "broker/config/config.pb.h"

namespace pylabhub::broker {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::TextFormat;

// The names of a message's fields: "address, port, ...".
std::string FieldNames(const Descriptor& message) {
  std::vector<std::string> names;
  for (int i = 0; i < message.field_count(); ++i) names.push_back(message.field(i)->name());
  return absl::StrJoin(names, ", ");
}

// Collects what is wrong, each with its place.
class Errors final : public google::protobuf::io::ErrorCollector {
 public:
  explicit Errors(absl::string_view file_name) : file_name_(file_name) {}

  // `line` and `column` count from 0; -1: no place in particular.
  void AddError(int line, google::protobuf::io::ColumnNumber column, const std::string& message) override {
    const std::string place = line < 0 ? absl::StrCat(file_name_, ": ")
                                       : absl::StrCat(file_name_, ":", line + 1, ":", column + 1, ": ");
    lines_.push_back(absl::StrCat(place, message, Hint(message)));
  }

  absl::Status status() const {
    return lines_.empty() ? absl::OkStatus() : absl::InvalidArgumentError(absl::StrJoin(lines_, "\n"));
  }

 private:
  // What protobuf leaves out: which fields there are.
  static std::string Hint(const std::string& message) {
    const Descriptor& config = *config::Config::descriptor();
    std::vector<const Descriptor*> messages = {&config};
    for (int i = 0; i < config.field_count(); ++i) {
      if (config.field(i)->message_type() != nullptr) messages.push_back(config.field(i)->message_type());
    }
    for (const Descriptor* candidate : messages) {
      if (absl::StrContains(message, absl::StrCat("\"", candidate->full_name(), "\" has no field"))) {
        return absl::StrCat(" Allowed here: ", FieldNames(*candidate), ".");
      }
    }
    return "";
  }

  const std::string file_name_;
  std::vector<std::string> lines_;
};

// One message of the file, with the places of its fields.
class Section {
 public:
  Section(const google::protobuf::Message& message, const TextFormat::ParseInfoTree* places, Errors& errors)
      : message_(message), places_(places), errors_(errors) {}

  // A message within this one.
  Section Inner(const char* name) const {
    const FieldDescriptor& field = Field(name);
    const bool is_set = Reflection().HasField(message_, &field);
    return {Reflection().GetMessage(message_, &field),
            is_set && places_ != nullptr ? places_->GetTreeForNested(&field, -1) : nullptr, errors_};
  }

  void Read(const char* name, std::string& value) const {
    if (Has(name)) value = Reflection().GetString(message_, &Field(name));
  }
  void Read(const char* name, bool& value) const {
    if (Has(name)) value = Reflection().GetBool(message_, &Field(name));
  }
  void Read(const char* name, std::vector<std::string>& values) const {
    const FieldDescriptor& field = Field(name);
    const int count = Reflection().FieldSize(message_, &field);
    if (count > 0) values.clear();
    for (int i = 0; i < count; ++i) values.push_back(Reflection().GetRepeatedString(message_, &field, i));
  }
  void Read(const char* name, std::vector<uid_t>& values) const {
    const FieldDescriptor& field = Field(name);
    const int count = Reflection().FieldSize(message_, &field);
    if (count > 0) values.clear();
    for (int i = 0; i < count; ++i) values.push_back(Reflection().GetRepeatedUInt32(message_, &field, i));
  }
  template <typename Number>
  void Read(const char* name, uint64_t least, uint64_t most, Number& value) const {
    if (!Has(name)) return;
    const FieldDescriptor& field = Field(name);
    const uint64_t read = field.cpp_type() == FieldDescriptor::CPPTYPE_UINT32
                              ? Reflection().GetUInt32(message_, &field)
                              : Reflection().GetUInt64(message_, &field);
    if (read < least || read > most) {
      return Refuse(name, absl::StrCat(read, " is not ", least, " to ", most));
    }
    value = static_cast<Number>(read);
  }
  void Read(const char* name, absl::Duration least, absl::Duration most, absl::Duration& value) const {
    if (!Has(name)) return;
    std::string text;
    Read(name, text);
    absl::Duration read;
    if (!absl::ParseDuration(text, &read)) {
      return Refuse(name,
                    absl::StrCat("\"", text, "\" is no duration; write for instance \"10s\" or \"500ms\""));
    }
    if (read < least || read > most) {
      return Refuse(name, absl::StrCat("\"", text, "\" is not ", absl::FormatDuration(least), " to ",
                                       absl::FormatDuration(most)));
    }
    value = read;
  }
  // One of a few words.
  template <typename Value>
  void Read(const char* name, const Words<Value>& words, Value& value) const {
    if (!Has(name)) return;
    std::string text;
    Read(name, text);
    std::vector<std::string> allowed;
    for (const auto& [word, meaning] : words) {
      allowed.push_back(word);
      if (word == text) {
        value = meaning;
        return;
      }
    }
    Refuse(name, absl::StrCat("\"", text, "\" is not one of: ", absl::StrJoin(allowed, ", ")));
  }

  bool Has(const char* name) const { return Reflection().HasField(message_, &Field(name)); }

  void Refuse(const char* name, const std::string& message) const {
    const TextFormat::ParseLocation place =
        places_ == nullptr ? TextFormat::ParseLocation() : places_->GetLocation(&Field(name), -1);
    errors_.AddError(place.line, place.column, absl::StrCat(name, ": ", message));
  }

 private:
  const google::protobuf::Reflection& Reflection() const { return *message_.GetReflection(); }
  const FieldDescriptor& Field(const char* name) const {
    return *message_.GetDescriptor()->FindFieldByName(name);
  }

  const google::protobuf::Message& message_;
  const TextFormat::ParseInfoTree* places_;
  Errors& errors_;
};

constexpr uint64_t kAny = std::numeric_limits<uint64_t>::max();

void ReadMode(const Section& section, const char* name, mode_t& mode) {
  if (!section.Has(name)) return;
  std::string text;
  section.Read(name, text);
  if (!ParseMode(text, mode)) {
    section.Refuse(name, absl::StrCat("\"", text, "\" is no mode; write octal, for instance \"0660\""));
  }
}

void ReadHandOver(const Section& hand_over, Settings& settings) {
  hand_over.Read("socket", settings.hand_over_socket);
  ReadMode(hand_over, "mode", settings.hand_over_mode);
  hand_over.Read("allowed_uids", settings.hand_over_uids);
  hand_over.Read("descriptors", 1, kAny, settings.hand_over_descriptors);
  hand_over.Read("descriptors_per_identity", 1, kAny, settings.hand_over_descriptors_per_identity);
}

void ReadListen(const Section& listen, Settings& settings) {
  listen.Read("address", settings.address);
  listen.Read("port", 0, 65535, settings.port);
  listen.Read("port_file", settings.port_file);
  listen.Read("unix_socket", settings.unix_socket);
  ReadMode(listen, "unix_socket_mode", settings.unix_socket_mode);
}

void ReadCertificates(const Section& certificates, Settings& settings) {
  certificates.Read("server_cert", settings.server_cert);
  certificates.Read("server_key", settings.server_key);
  certificates.Read("ca", settings.ca);
  certificates.Read("state_dir", settings.state_dir);
  certificates.Read("server_names", settings.server_names);
  certificates.Read("revocations", settings.revocations);
  certificates.Read("crl", settings.crl);
  const int given = !settings.server_cert.empty() + !settings.server_key.empty() + !settings.ca.empty();
  if (given != 0 && given != 3) {
    const char* one = certificates.Has("server_cert") ? "server_cert"
                      : certificates.Has("ca")        ? "ca"
                                                      : "server_key";
    certificates.Refuse(one, "server_cert, server_key and ca go together: set all three, or none");
  }
}

void ReadLimits(const Section& section, Limits& limits, ConnectionCaps& caps) {
  section.Read("channels", 1, kAny, limits.max_channels);
  section.Read("consumers", 1, kAny, limits.max_consumers);
  section.Read("sessions", 1, kAny, limits.max_sessions);
  section.Read("consumers_per_channel", 1, kAny, limits.max_consumers_per_channel);
  section.Read("schemas", 1, kAny, limits.max_schemas);
  section.Read("versions_per_schema", 1, kAny, limits.max_versions_per_schema);
  section.Read("channels_per_identity", 1, kAny, limits.max_channels_per_identity);
  section.Read("consumers_per_identity", 1, kAny, limits.max_consumers_per_identity);
  section.Read("sessions_per_identity", 1, kAny, limits.max_sessions_per_identity);
  section.Read("spec_bytes_per_identity", 1, kAny, limits.max_spec_bytes_per_identity);
  section.Read("schema_bytes_per_identity", 1, kAny, limits.max_schema_bytes_per_identity);
  section.Read("calls_per_second_per_identity", 0, kAny, limits.max_calls_per_second_per_identity);
  section.Read("call_burst_per_identity", 1, kAny, limits.max_call_burst_per_identity);
  section.Read("connections", 1, kAny, caps.max_connections);
  section.Read("connections_per_peer", 1, kAny, caps.max_connections_per_peer);
}

}  // namespace

absl::Status ReadConfig(absl::string_view text, absl::string_view file_name, Settings& settings) {
  Errors errors(file_name);
  TextFormat::ParseInfoTree places;
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&errors);
  parser.WriteLocationsTo(&places);
  config::Config config;
  if (!parser.ParseFromString(std::string(text), &config)) return errors.status();

  const Section top(config, &places, errors);
  ReadListen(top.Inner("listen"), settings);
  ReadCertificates(top.Inner("certificates"), settings);
  ReadHandOver(top.Inner("hand_over"), settings);
  ReadLimits(top.Inner("limits"), settings.limits, settings.connection_caps);
  top.Inner("metrics").Read("address", settings.metrics_address);
  top.Inner("metrics").Read("allow_remote", settings.metrics_allow_remote);
  top.Inner("log").Read("level", LogLevelWords(), settings.log_level);
  top.Inner("log").Read("format", LogFormatWords(), settings.log_format);
  top.Read("lease_ttl", absl::Milliseconds(100), absl::Hours(24), settings.lease_ttl);
  top.Read("shutdown_grace", absl::ZeroDuration(), absl::Hours(1), settings.shutdown_grace);
  top.Read("max_threads", 2, 4096, settings.max_threads);
  top.Read("channelz", settings.channelz);
  top.Read("admins", settings.admins);
  top.Read("sandbox", settings.sandbox);
  top.Read("policy", settings.policy);
  top.Read("store", Words<std::string>{{"sqlite", "sqlite"}, {"none", "none"}}, settings.store);
  return errors.status();
}

absl::Status ReadConfigFile(const std::string& path, Settings& settings) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    return absl::UnavailableError(absl::StrCat(path, ": is a folder, not a file"));
  }
  std::ifstream file(path);
  if (!file) {
    const std::string message = absl::StrCat(path, ": cannot be read: ", std::strerror(errno));
    return errno == ENOENT ? absl::NotFoundError(message) : absl::UnavailableError(message);
  }
  std::ostringstream text;
  text << file.rdbuf();
  return ReadConfig(text.str(), path, settings);
}

}  // namespace pylabhub::broker
