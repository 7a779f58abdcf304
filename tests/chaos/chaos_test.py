"""A short chaos run: nothing lost, torn, duplicated or stuck, nothing left behind, and a report in the agreed form.

How fast the others recover is printed, and not judged here: that takes a machine with nothing else to do.
"""

import json
import os
import re
import subprocess
import sys
import unittest

SECONDS = os.environ.get("PYLABHUB_CHAOS_SECONDS", "8")


class ChaosTest(unittest.TestCase):

    def test_whoever_is_killed_or_stopped_the_others_go_on_and_lose_nothing(self):
        run = subprocess.run(
            # On a busy machine there is less time to kill in.
            ["tests/chaos/chaos", "--seconds", SECONDS, "--longest-stop-ms", "1000", "--least-kills-per-second", "0"],
            stdout=subprocess.PIPE, text=True, check=False)
        print(run.stdout)
        self.assertEqual(run.returncode, 0, "the seed is in the first line; run tests/chaos/run.sh with it")
        last = run.stdout.splitlines()[-1]
        self.assertRegex(
            last, re.compile(r'^\{"kills":\d+,"stops":\d+,"delivered":\d+,"lost":0,"torn":0,"duplicated":0,"stuck":0,'
                             r'"recovery_ms_p99":\d+\.\d+\}$'))
        report = json.loads(last)
        self.assertGreater(report["kills"], 3)
        self.assertGreater(report["stops"], 0)
        self.assertGreater(report["delivered"], 0)

    def test_too_few_kills_are_a_failure(self):
        run = subprocess.run(["tests/chaos/chaos", "--seconds", "1", "--least-kills-per-second", "1000"],
                             stdout=subprocess.PIPE, text=True, check=False)
        self.assertEqual(run.returncode, 1)
        self.assertIn("kills are too few", run.stdout)


if __name__ == "__main__":
    sys.exit(unittest.main())
