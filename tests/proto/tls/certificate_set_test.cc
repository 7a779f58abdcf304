#include "proto/tls/certificate_set.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "proto/tls/identity.h"
#include "tests/support/temp_folder.h"

namespace pylabhub::tls {
namespace {

using ::pylabhub::testing::TempFolder;

std::set<std::string> NamesIn(const std::string& folder) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.insert(entry.path().filename());
  return names;
}

TEST(CertificateSetTest, NewSetHoldsTheSixFilesAndNobodyElseCanReadThem) {
  const TempFolder temp;
  const std::string folder = temp / "certs";
  const absl::Status status = CreateCertificateSet(folder);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(NamesIn(folder), (std::set<std::string>{"ca.pem", "ca.key", "server.pem", "server.key",
                                                    "client.pem", "client.key"}));
  struct stat found = {};
  ASSERT_EQ(stat(folder.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 07777, 0700u);
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    ASSERT_EQ(stat(entry.path().c_str(), &found), 0);
    EXPECT_EQ(found.st_mode & 07777, 0600u) << entry.path();
  }
  EXPECT_EQ(NamesIn(temp.path()), std::set<std::string>{"certs"});
}

TEST(CertificateSetTest, BothSidesLoadAndTheClientIsWhoWasAsked) {
  const TempFolder temp;
  ASSERT_TRUE(CreateCertificateSet(temp / "certs", {.client_identity = "spiffe://lab/sampler"}).ok());
  const auto server = LoadTlsFiles(ServerPathsIn(temp / "certs"));
  const auto client = LoadTlsFiles(ClientPathsIn(temp / "certs"));
  ASSERT_TRUE(server.ok()) << server.status();
  ASSERT_TRUE(client.ok()) << client.status();
  EXPECT_EQ(*IdentityOf(client->certificate_pem), "spiffe://lab/sampler");
  EXPECT_EQ(server->ca_certificate_pem, client->ca_certificate_pem);
}

TEST(CertificateSetTest, ExistingFilesAreNeverTouched) {
  const TempFolder temp;
  ASSERT_TRUE(CreateCertificateSet(temp / "certs").ok());
  const auto before = LoadTlsFiles(ServerPathsIn(temp / "certs"));
  EXPECT_EQ(CreateCertificateSet(temp / "certs").code(), absl::StatusCode::kAlreadyExists);
  const auto after = LoadTlsFiles(ServerPathsIn(temp / "certs"));
  EXPECT_EQ(before->key_pem, after->key_pem);
  EXPECT_EQ(NamesIn(temp.path()), std::set<std::string>{"certs"});
}

TEST(CertificateSetTest, OfManyCreatorsAtOnceOneWinsAndTheSetIsWhole) {
  const TempFolder temp;
  std::vector<absl::Status> statuses(4);
  std::vector<std::thread> creators;
  for (absl::Status& status : statuses) {
    creators.emplace_back([&] { status = CreateCertificateSet(temp / "certs"); });
  }
  for (std::thread& creator : creators) creator.join();
  int winners = 0;
  for (const absl::Status& status : statuses) {
    if (status.ok()) {
      ++winners;
    } else {
      EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists) << status;
    }
  }
  EXPECT_EQ(winners, 1);
  EXPECT_TRUE(LoadTlsFiles(ServerPathsIn(temp / "certs")).ok());
  EXPECT_TRUE(LoadTlsFiles(ClientPathsIn(temp / "certs")).ok());
  EXPECT_EQ(NamesIn(temp.path()), std::set<std::string>{"certs"});
}

TEST(CertificateSetTest, WrongOptionLeavesNothingBehind) {
  const TempFolder temp;
  EXPECT_EQ(CreateCertificateSet(temp / "certs", {.server_names = {"two words"}}).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(NamesIn(temp.path()).empty());
}

TEST(CertificateSetTest, FolderWhoseParentIsMissingIsNamed) {
  const TempFolder temp;
  const absl::Status status = CreateCertificateSet(temp / "absent/certs");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_NE(status.message().find(temp / "absent/certs"), std::string::npos) << status;
}

TEST(CertificateSetTest, EachWrongFileIsNamedWhenASetIsLoaded) {
  const TempFolder temp;
  ASSERT_TRUE(CreateCertificateSet(temp / "certs").ok());
  const TlsPaths good = ClientPathsIn(temp / "certs");

  TlsPaths wrong = good;
  wrong.ca_certificate = temp / "absent.pem";
  EXPECT_EQ(LoadTlsFiles(wrong).status().code(), absl::StatusCode::kNotFound);

  wrong = good;
  wrong.certificate = good.key;
  absl::Status status = LoadTlsFiles(wrong).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find(good.key), std::string::npos) << status;

  wrong = good;
  wrong.key = ServerPathsIn(temp / "certs").key;
  status = LoadTlsFiles(wrong).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find(wrong.key), std::string::npos) << status;

  ASSERT_EQ(chmod(good.key.c_str(), 0644), 0);
  EXPECT_EQ(LoadTlsFiles(good).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(CertificateSetTest, FurtherClientsAreIssuedBesideTheFirst) {
  const TempFolder temp;
  const std::string folder = temp / "certs";
  ASSERT_TRUE(CreateCertificateSet(folder).ok());
  ASSERT_TRUE(IssueInto(folder, "viewer", ClientSpec("viewer")).ok());
  const auto viewer = LoadTlsFiles({.ca_certificate = folder + "/ca.pem",
                                    .certificate = folder + "/viewer.pem",
                                    .key = folder + "/viewer.key"});
  ASSERT_TRUE(viewer.ok()) << viewer.status();
  EXPECT_EQ(*IdentityOf(viewer->certificate_pem), "viewer");
  EXPECT_EQ(IssueInto(folder, "viewer", ClientSpec("viewer")).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(IssueInto(folder, "../viewer", ClientSpec("viewer")).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace pylabhub::tls
