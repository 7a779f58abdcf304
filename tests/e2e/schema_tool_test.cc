// `pylabhub schema` against a broker, as a person would use it.
#include <fstream>
#include <string>
#include <vector>

#include "client/messenger.h"
#include "gtest/gtest.h"
#include "shm/schema.h"
#include "tests/support/lab_broker.h"
#include "tests/support/program.h"
#include "tests/support/temp_folder.h"

namespace pylabhub {
namespace {

using ::pylabhub::testing::LabBroker;
using ::pylabhub::testing::Program;
using ::pylabhub::testing::TempFolder;

shm::Schema Reading(const std::string& unit) {
  return {
      .name = "Reading",
      .record_bytes = 8,
      .fields = {{.name = "celsius", .type = shm::ScalarType::kFloat64, .offset_bytes = 0, .unit = unit}}};
}

class SchemaToolTest : public ::testing::Test {
 protected:
  struct Outcome {
    int exit_code = -1;
    std::string output = {};
    std::string errors = {};
  };
  Outcome Run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"client/cli/pylabhub", "schema"});
    arguments.insert(arguments.end(),
                     {"--broker", broker_.address(), "--certs", broker_.certificates_folder()});
    Program program(arguments);
    Outcome outcome;
    for (std::string line = program.ReadLine(); !line.empty(); line = program.ReadLine()) {
      outcome.output += line + "\n";
    }
    outcome.exit_code = program.Wait();
    outcome.errors = program.errors();
    return outcome;
  }

  // Registers a channel whose schema the broker then keeps.
  void Produce(const std::string& channel, const shm::Schema& schema, uint8_t segment) {
    ChannelSpec spec{
        .name = channel, .schema_hash = shm::HashOf(schema), .schema_text = shm::CanonicalText(schema)};
    spec.segment_id.fill(segment);
    const auto messenger = Messenger::Connect(broker_.ToHere());
    ASSERT_TRUE(messenger.ok()) << messenger.status();
    const auto grant = (*messenger)->RegisterProducer(spec).get();
    ASSERT_TRUE(grant.ok()) << grant.status();
  }

  std::string FileWith(const std::string& text) {
    std::string path = folder_ / "schema.txt";
    std::ofstream(path) << text;
    return path;
  }

  LabBroker broker_;
  TempFolder folder_;
};

TEST_F(SchemaToolTest, WhatAProducerStatedIsListedAndPrintedAsItsText) {
  Produce("sensor.temperature", Reading("Cel"), 1);
  Produce("sensor.temperature", Reading("K"), 2);
  const Outcome all = Run({"list", "sensor.temperature", "--output", "json"});
  EXPECT_EQ(all.exit_code, 0) << all.errors;
  EXPECT_NE(all.output.find(R"("version":1)"), std::string::npos) << all.output;
  EXPECT_NE(all.output.find(R"("version":2)"), std::string::npos) << all.output;
  EXPECT_NE(Run({"list"}).output.find("sensor.temperature"), std::string::npos);
  EXPECT_EQ(Run({"get", "sensor.temperature"}).output, shm::CanonicalText(Reading("K")));
  EXPECT_EQ(Run({"get", "sensor.temperature", "--version", "1"}).output, shm::CanonicalText(Reading("Cel")));
  EXPECT_EQ(Run({"get", "nobody.knows"}).exit_code, 3);
}

TEST_F(SchemaToolTest, ACheckNamesWhatDiffersAndFailsIfReadersCannotGoOn) {
  Produce("sensor.temperature", Reading("Cel"), 1);
  const Outcome same =
      Run({"check", "sensor.temperature", "--file", FileWith(shm::CanonicalText(Reading("Cel")))});
  EXPECT_EQ(same.exit_code, 0) << same.errors;
  EXPECT_EQ(same.output, "IDENTICAL with version 1\n");
  const Outcome other =
      Run({"check", "sensor.temperature", "--file", FileWith(shm::CanonicalText(Reading("K")))});
  EXPECT_EQ(other.exit_code, 1);
  EXPECT_EQ(other.output, "SAME_LAYOUT with version 1\n  celsius: UNIT_CHANGED: \"Cel\", now \"K\"\n");
  const Outcome garbage = Run({"check", "sensor.temperature", "--file", FileWith("garbage")});
  EXPECT_EQ(garbage.exit_code, 2);
  EXPECT_NE(garbage.errors.find("canonical text"), std::string::npos) << garbage.errors;
}

}  // namespace
}  // namespace pylabhub
