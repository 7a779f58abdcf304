#include "broker/service_manager.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/broker/notify_socket.h"
#include "tests/support/temp_folder.h"

namespace pylabhub::broker {
namespace {

using ::testing::MatchesRegex;
using testing::NotifySocket;
using testing::TempFolder;

TEST(ServiceManagerTest, ASocketWithAPathIsToldEachState) {
  const TempFolder folder("/tmp");
  const NotifySocket socket(folder / "notify");
  const ServiceManager manager(folder / "notify", std::nullopt);
  manager.Ready("listening on here");
  EXPECT_EQ(socket.ReadNow(), "READY=1\nSTATUS=listening on here");
  manager.Reloading();
  EXPECT_THAT(socket.ReadNow(), MatchesRegex("RELOADING=1\nMONOTONIC_USEC=[0-9]+"));
  manager.Alive();
  EXPECT_EQ(socket.ReadNow(), "WATCHDOG=1");
  manager.Stopping();
  EXPECT_EQ(socket.ReadNow(), "STOPPING=1");
}

TEST(ServiceManagerTest, ASocketInTheAbstractNamespaceIsToldToo) {
  // At random: process numbers are counted anew in each sandbox, and this namespace is all sandboxes' together.
  const std::string name = absl::StrCat("@pylabhub.notify.", absl::Hex(std::random_device{}()));
  const NotifySocket socket(name);
  ServiceManager(name, std::nullopt).Alive();
  EXPECT_EQ(socket.ReadNow(), "WATCHDOG=1");
}

TEST(ServiceManagerTest, TheEnvironmentIsTakenAndNotLeftToChildren) {
  const TempFolder folder("/tmp");
  const NotifySocket socket(folder / "notify");
  setenv("NOTIFY_SOCKET", (folder / "notify").c_str(), 1);
  setenv("WATCHDOG_USEC", "30000000", 1);
  setenv("WATCHDOG_PID", absl::StrCat(getpid()).c_str(), 1);
  const ServiceManager manager = ServiceManager::TakeFromEnvironment();
  EXPECT_EQ(manager.alive_interval(), absl::Seconds(15));
  manager.Alive();
  EXPECT_EQ(socket.ReadNow(), "WATCHDOG=1");
  EXPECT_EQ(std::getenv("NOTIFY_SOCKET"), nullptr);
  EXPECT_EQ(std::getenv("WATCHDOG_USEC"), nullptr);
}

TEST(ServiceManagerTest, AWatchdogForAnotherProcessIsNotOurs) {
  setenv("WATCHDOG_USEC", "30000000", 1);
  setenv("WATCHDOG_PID", "1", 1);
  EXPECT_FALSE(ServiceManager::TakeFromEnvironment().alive_interval().has_value());
}

TEST(ServiceManagerTest, WithNobodyToTellNothingHappens) {
  ServiceManager::TakeFromEnvironment().Ready("alone");
  ServiceManager("/nowhere/at/all", std::nullopt).Alive();
  ServiceManager(std::string(4096, 'x'), std::nullopt).Alive();
}

}  // namespace
}  // namespace pylabhub::broker
