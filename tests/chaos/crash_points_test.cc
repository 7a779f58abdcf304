// Ends a process at every step of the protocol, one after the other, and looks how the others fare.
//
//   crash_points_test            each point: as producer and as consumer, each way of dying, in shapes that take turns
//   crash_points_test --whole    each point in every shape and role that passes it, at several passings
#include "tests/chaos/crash_points.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "shm/os/crash_point.h"
#include "tests/chaos/scenario.h"

namespace pylabhub::chaos {
namespace {

bool whole_matrix = false;

std::vector<std::string> SourceFiles() {
  std::vector<std::string> files;
  for (const char* folder : {"shm", "tests/chaos"}) {
    if (!std::filesystem::exists(folder)) continue;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
      const std::string path = entry.path();
      if (path.ends_with(".cc") || path.ends_with(".h")) files.push_back(path);
    }
  }
  return files;
}

const std::vector<std::string>& Points() {
  static const auto* points = new std::vector<std::string>(PointsIn(SourceFiles()));
  return *points;
}

// What a life that nobody disturbs passes: by shape, role and point.
class Census {
 public:
  struct Place {
    const Shape* shape;
    Role role;
    uint32_t passings;
  };

  static Census& Get() {
    static Census* census = new Census;
    return *census;
  }

  // Where `point` was passed by a producer, or by a consumer.
  std::vector<Place> PlacesOf(size_t point, bool producer) const {
    std::vector<Place> places;
    for (size_t i = 0; i < shapes_.size(); ++i) {
      for (Role role : kAllRoles) {
        const uint32_t passings = passings_[i][static_cast<size_t>(role)][point];
        if (IsProducer(role) == producer && passings != 0) places.push_back({&shapes_[i], role, passings});
      }
    }
    return places;
  }

  const std::vector<std::string>& faults() const { return faults_; }
  size_t shapes() const { return shapes_.size(); }

 private:
  // A script can do no more than make a step likely: what nobody took is given other chances.
  static constexpr int kRounds = 3;

  Census() : shapes_(AllShapes()), passings_(shapes_.size()) {
    for (int round = 0; round < kRounds && !IsComplete(); ++round) {
      for (size_t i = 0; i < shapes_.size(); ++i) Add(i, Play(shapes_[i], std::nullopt, Points()));
    }
  }

  void Add(size_t shape, const Outcome& outcome) {
    for (size_t role = 0; role < kRoles; ++role) {
      std::vector<uint32_t>& most = passings_[shape][role];
      most.resize(Points().size());
      for (size_t i = 0; i < most.size(); ++i) most[i] = std::max(most[i], outcome.passings[role][i]);
    }
    for (const std::string& fault : outcome.faults) faults_.push_back(NameOf(shapes_[shape]) + ": " + fault);
    if (outcome.delivered == 0) faults_.push_back(NameOf(shapes_[shape]) + ": nothing was delivered");
  }

  bool IsComplete() const {
    if (passings_[0][0].empty()) return false;
    for (size_t i = 0; i < Points().size(); ++i) {
      if (PlacesOf(i, true).empty() && PlacesOf(i, false).empty()) return false;
    }
    return true;
  }

  std::vector<Shape> shapes_;
  std::vector<std::array<std::vector<uint32_t>, kRoles>> passings_;
  std::vector<std::string> faults_;
};

// Plays it with that victim; true if it did die.
bool DiesAt(const Census::Place& place, const std::string& point, uint32_t passing, Death death) {
  const Victim victim{.role = place.role, .point = point, .passing = passing, .death = death};
  const Outcome outcome = Play(*place.shape, victim, Points());
  for (const std::string& fault : outcome.faults) {
    ADD_FAILURE() << NameOf(*place.shape) << ", " << NameOf(place.role) << " ended at passing " << passing
                  << " of " << point << " by " << NameOf(death) << ": " << fault;
  }
  return outcome.victim_died;
}

class CrashPointTest : public ::testing::TestWithParam<size_t> {
 protected:
  const std::string& point() const { return Points()[GetParam()]; }

  // A few places, each way of dying at least once.
  int VisitSome(const std::vector<Census::Place>& places) const {
    int deaths = 0;
    for (size_t i = 0; i < std::size(kDeaths); ++i) {
      for (size_t attempt = 0; attempt < 4; ++attempt) {
        // A stride that has no divisor in common with most counts of places.
        const size_t turn = GetParam() * 7 + i * 5 + attempt * 11;
        const Census::Place& place = places[turn % places.size()];
        const uint32_t passing = attempt == 0 ? 1 + turn % place.passings : 1;
        if (!DiesAt(place, point(), passing, kDeaths[i])) continue;
        ++deaths;
        break;
      }
    }
    return deaths;
  }

  int VisitAll(const std::vector<Census::Place>& places) const {
    int deaths = 0;
    for (const Census::Place& place : places) {
      for (Death death : kDeaths) {
        uint32_t last = 0;
        for (uint32_t passing : {1u, 2u, (place.passings + 1) / 2, place.passings}) {
          if (passing <= last || passing > place.passings) continue;
          last = passing;
          deaths += DiesAt(place, point(), passing, death) ? 1 : 0;
        }
      }
    }
    return deaths;
  }
};

TEST_P(CrashPointTest, WhoeverIsEndedThereTheOthersGoOnAndLoseNothing) {
  int deaths = 0;
  for (bool producer : {true, false}) {
    const std::vector<Census::Place> places = Census::Get().PlacesOf(GetParam(), producer);
    if (places.empty()) continue;
    const int here = whole_matrix ? VisitAll(places) : VisitSome(places);
    EXPECT_GT(here, 0) << "no " << (producer ? "producer" : "consumer") << " could be ended at " << point();
    deaths += here;
  }
  EXPECT_GT(deaths, 0) << "no scenario passes " << point() << ": write one, or remove the point";
  RecordProperty("deaths", deaths);
}

TEST(CrashPointsTest, AnUndisturbedLifeShowsNoFault) {
  ASSERT_TRUE(shm::kHasCrashPoints);
  ASSERT_GT(Points().size(), 100u) << "the sources were not found";
  EXPECT_EQ(Census::Get().faults(), std::vector<std::string>());
}

std::string TestName(const ::testing::TestParamInfo<size_t>& info) {
  std::string name = Points()[info.param];
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Points, CrashPointTest, ::testing::Range(size_t{0}, Points().size()), TestName);

}  // namespace
}  // namespace pylabhub::chaos

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  pylabhub::chaos::whole_matrix = argc > 1 && std::strcmp(argv[1], "--whole") == 0;
  return RUN_ALL_TESTS();
}
