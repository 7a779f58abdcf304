#include "broker/access/server_credentials.h"

#include <grpc/grpc_security.h>
#include <grpc/slice.h>

#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace pylabhub::broker {
namespace {

// The services that go through the CallDesk, which refuses with more to say.
constexpr char kOwnServices[] = "/pylabhub.v1.";

// Before a handshake: a new edition, if there is one since the last.
class EditionFetcher {
 public:
  explicit EditionFetcher(const PublishedTls& published) : published_(published) {}

  // gRPC calls it with a lock of the listener's.
  static grpc_ssl_certificate_config_reload_status Fetch(void* fetcher,
                                                         grpc_ssl_server_certificate_config** config) {
    return static_cast<EditionFetcher*>(fetcher)->Fetch(config);
  }

 private:
  grpc_ssl_certificate_config_reload_status Fetch(grpc_ssl_server_certificate_config** config) {
    const PublishedTls::Edition edition = published_.edition();
    if (edition.number == fetched_) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    const tls::TlsFiles& files = *edition.files;
    const grpc_ssl_pem_key_cert_pair pair = {files.key_pem.c_str(), files.certificate_pem.c_str()};
    *config = grpc_ssl_server_certificate_config_create(files.ca_certificate_pem.c_str(), &pair, 1);
    fetched_ = edition.number;
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  const PublishedTls& published_;
  uint64_t fetched_ = 0;
};

absl::string_view PathOf(const grpc_metadata* metadata, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if (grpc_slice_str_cmp(metadata[i].key, ":path") != 0) continue;
    return {reinterpret_cast<const char*>(GRPC_SLICE_START_PTR(metadata[i].value)),
            GRPC_SLICE_LENGTH(metadata[i].value)};
  }
  return "";
}

absl::string_view CertificateOf(const grpc_auth_context* context) {
  grpc_auth_property_iterator found =
      grpc_auth_context_find_properties_by_name(context, GRPC_X509_PEM_CERT_PROPERTY_NAME);
  const grpc_auth_property* const property = grpc_auth_property_iterator_next(&found);
  return property == nullptr ? absl::string_view()
                             : absl::string_view(property->value, property->value_length);
}

void CheckCall(void* check, grpc_auth_context* context, const grpc_metadata* metadata, size_t count,
               grpc_process_auth_metadata_done_cb done, void* user_data) {
  absl::Status status;
  const absl::string_view path = PathOf(metadata, count);
  if (!absl::StartsWith(path, kOwnServices)) {
    status = (*static_cast<CallCheck*>(check))(CertificateOf(context), path);
  }
  const std::string message(status.message());
  done(user_data, nullptr, 0, nullptr, 0, static_cast<grpc_status_code>(status.code()),
       status.ok() ? nullptr : message.c_str());
}

class Credentials final : public grpc::ServerCredentials {
 public:
  Credentials(const PublishedTls& published, CallCheck check)
      : fetcher_(published), check_(std::move(check)) {
    credentials_ = grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(
            GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY, EditionFetcher::Fetch, &fetcher_));
    grpc_server_credentials_set_auth_metadata_processor(
        credentials_, {.process = CheckCall, .destroy = nullptr, .state = &check_});
  }
  ~Credentials() override { grpc_server_credentials_release(credentials_); }

  // There is one already.
  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  EditionFetcher fetcher_;
  CallCheck check_;
  grpc_server_credentials* credentials_;
};

}  // namespace

std::shared_ptr<grpc::ServerCredentials> MakeServerCredentials(const PublishedTls& published,
                                                               CallCheck check) {
  return std::make_shared<Credentials>(published, std::move(check));
}

}  // namespace pylabhub::broker
