"""Every command of docs/recording.md runs, one block after the other."""

import os
import pathlib
import re
import subprocess
import tempfile
import unittest

HERE = pathlib.Path.cwd()
PAGE = HERE / "docs/recording.md"


class RecordingPageTest(unittest.TestCase):

    def test_every_command_runs(self):
        blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.S)
        self.assertEqual(len(blocks), 3)
        script = "\nwait\n".join(["set -e", *blocks, ""]).replace(" client/", f" {HERE}/client/")
        path = f"{HERE}/client/cli:{HERE}/client/examples:{os.environ['PATH']}"
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(["bash", "-c", script], cwd=folder, env={**os.environ, "PATH": path}, timeout=60,
                                  capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("closed by its producer", done.stdout)
        # The producer waits for nobody before its first reading.
        self.assertRegex(done.stdout, r"replayed (\d+) of \1 slots")
        self.assertIn("celsius=", done.stdout)
        self.assertIn('DATASET "slots"', done.stdout)
        self.assertRegex(done.stdout, r"(?m)^19 \d+ \[\(")


if __name__ == "__main__":
    unittest.main()
