"""The bench of the Python package, one short round: it measures both sides and says what it has to reach."""

import subprocess
import sys
import unittest


class BenchTest(unittest.TestCase):
    def test_a_round_measures_both_sides_and_names_the_targets(self):
        done = subprocess.run(
            [sys.executable, "tests/bench/python/python_bench.py", "--cpp", "tests/bench/python/cpp_side", "--rounds", "1",
             "--seconds", "0.05"], stdout=subprocess.PIPE, text=True, check=True)
        for bench in ("stream.64KiB", "rtt.64B.spin", "rtt.64B.adaptive"):
            self.assertRegex(done.stdout, rf"(?m)^{bench} +[0-9.]+ (GB/s|us) +[0-9.]+ (GB/s|us) ")
        self.assertEqual(done.stdout.count("target "), 2)


if __name__ == "__main__":
    unittest.main()
