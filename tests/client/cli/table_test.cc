#include "client/cli/table.h"

#include <gtest/gtest.h>

namespace pylabhub::cli {
namespace {

using Lines = std::vector<std::string>;

TEST(TableTest, ColumnsAreAsWideAsTheirWidestCellAndNumbersEndTogether) {
  Table table({{"CHANNEL"}, {"LAG", Align::kRight}, {"UNIT"}});
  table.AddRow({"a", "1", "Cel"});
  table.AddRow({"sensor.temperature", "12345", ""});
  EXPECT_EQ(table.Lines(), (Lines{"CHANNEL               LAG  UNIT",  //
                                  "a                       1  Cel",   //
                                  "sensor.temperature  12345"}));
}

TEST(TableTest, CharactersOfSeveralBytesTakeOnePlace) {
  EXPECT_EQ(WidthOf("µm/s"), 4U);
  Table table({{"UNIT"}, {"X"}});
  table.AddRow({"µm", "1"});
  EXPECT_EQ(table.Lines()[1], "µm    1");
}

TEST(TableTest, ControlCharactersInACellDoNotReachTheTerminal) {
  Table table({{"NAME"}});
  table.AddRow({"a\033[31mb\n"});
  EXPECT_EQ(table.Lines()[1], "a\\x1b[31mb\\n");
}

}  // namespace
}  // namespace pylabhub::cli
