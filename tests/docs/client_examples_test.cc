// The snippets of docs/client.md, each in a program that does what the page says it does. readme_test.py checks that the
// page shows them as they stand here.
#include <gtest/gtest.h>

#include <cstddef>
#include <iostream>
#include <memory>
#include <span>

#include "client/channel.h"
#include "client/channel_handle.h"
#include "client/fake_broker_connection.h"
#include "client/messenger.h"
#include "shm/describe.h"
#include "tests/support/shm_folder.h"

struct TempReading {
  double celsius;
  int64_t timestamp_ns;
};
PYLABHUB_SCHEMA(TempReading, (celsius, "Cel"), (timestamp_ns, "ns"));

namespace {

class ClientExamplesTest : public ::testing::Test {
 protected:
  std::unique_ptr<pylabhub::Messenger> NewMessenger() {
    return *pylabhub::Messenger::Create(broker_.NewConnection(), {});
  }

  pylabhub::testing::ShmFolder folder_;
  pylabhub::FakeBroker broker_;
};

TEST_F(ClientExamplesTest, AChannelInOneCall) {
  const auto messenger = NewMessenger();
  const int64_t now_ns = 1;
  const pylabhub::shm::ChannelConfig config{.directory = folder_.path()};
  auto producer = pylabhub::Producer<TempReading>::Create("sensor.temperature", messenger.get(), config);
  producer->Write({.celsius = 21.5, .timestamp_ns = now_ns});
  EXPECT_EQ(broker_.Find("sensor.temperature").state, pylabhub::ChannelState::kReady);
}

TEST_F(ClientExamplesTest, AHandleReceivesUntilItsProducerIsGone) {
  const auto messenger = NewMessenger();
  auto camera =
      pylabhub::CreateChannel("camera.left", pylabhub::ChannelPattern::kPublishSubscribe, messenger.get(),
                              {.config = {.slot_bytes = 64, .directory = folder_.path()}, .lossless = true});
  ASSERT_TRUE(camera.ok()) << camera.status();
  int shown = 0;
  const auto Show = [&](std::span<const std::byte> frame) {
    if (!frame.empty()) ++shown;
    if (shown == 3) camera = pylabhub::ChannelHandle();
  };
  pylabhub::ConnectChannelOptions options;
  options.consumer.directory = folder_.path();
  options.consumer.start = pylabhub::shm::JoinPoint::Oldest();
  const std::byte bytes[8] = {};
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(camera->Send(bytes).ok());

  auto viewer = pylabhub::ConnectChannel("camera.left", pylabhub::ChannelPattern::kPublishSubscribe,
                                         absl::Seconds(5), messenger.get(), options);
  while (viewer->is_valid()) {
    absl::StatusOr<pylabhub::shm::ReadSlot> frame = viewer->Receive(absl::Seconds(1));
    if (frame.ok()) Show(frame->payload());
  }
  std::cout << viewer->why_invalid() << '\n';
  EXPECT_EQ(shown, 3);
}

}  // namespace
