"""deploy/demo.sh, with a short run and a small file: the line that it ends with, and what it leaves behind."""

import os
import re
import signal
import subprocess
import tempfile
import unittest

PATIENCE_S = 120
ENVIRONMENT = {"PATH": os.environ["PATH"], "PYLABHUB_BIN": os.getcwd()}


class DemoTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.environment = {**ENVIRONMENT, "TMPDIR": folder.name}
        self.folder = folder.name

    def start(self, *arguments):
        # A session of its own, whose processes can be counted.
        return subprocess.Popen(
            ["deploy/demo.sh", *arguments], env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, start_new_session=True)

    def assert_nothing_left(self, process):
        with self.assertRaises(ProcessLookupError, msg="a process of the demo still runs"):
            os.killpg(process.pid, 0)
        self.assertEqual(os.listdir(self.folder), [])
        self.assertEqual([name for name in os.listdir("/dev/shm") if f".{process.pid}." in name], [])

    def test_it_moves_what_it_says_and_leaves_nothing(self):
        process = self.start("--seconds", "3", "--file-bytes", "3000001")
        output, errors = process.communicate(timeout=PATIENCE_S)
        self.assertEqual(process.returncode, 0, output + errors)
        self.assertRegex(
            output.splitlines()[-1],
            r"^demo: sampled=3000 received=3000 lost=0 torn=0 file_bytes=3000001 sha256=equal$")
        self.assertRegex(output, re.compile(r"^demo\.host\.\S+ +ready", re.MULTILINE))
        self.assertRegex(output, r"context_switches=\d+ 1  memory_total_bytes=\d+ By")
        self.assert_nothing_left(process)

    def test_stopped_half_way_it_leaves_nothing_either(self):
        process = self.start("--seconds", "60")
        for line in process.stdout:
            if line.startswith("  lossless"):
                break
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)
        self.assertEqual(process.returncode, 143)
        self.assert_nothing_left(process)

    def test_a_broker_that_cannot_start_is_a_failure_that_leaves_nothing(self):
        fake = os.path.join(self.folder, "bin")
        for program in ("client/cli/pylabhub", "broker/pylabhub-broker"):
            os.makedirs(os.path.dirname(os.path.join(fake, program)), exist_ok=True)
        os.symlink(os.path.abspath("client/cli/pylabhub"), os.path.join(fake, "client/cli/pylabhub"))
        os.symlink("/bin/false", os.path.join(fake, "broker/pylabhub-broker"))
        self.environment["PYLABHUB_BIN"] = fake
        process = self.start("--file-bytes", "1000")
        _, errors = process.communicate(timeout=PATIENCE_S)
        self.assertEqual(process.returncode, 1)
        self.assertIn("broker failed", errors)
        self.assertEqual(os.listdir(self.folder), ["bin"])

    def test_a_full_disk_is_said_before_anything_starts(self):
        process = self.start("--file-bytes", "9000000000000")
        _, errors = process.communicate(timeout=PATIENCE_S)
        self.assertEqual(process.returncode, 1)
        self.assertIn(self.folder, errors)
        self.assertIn("bytes free", errors)

    def test_a_wrong_command_line_is_told(self):
        for arguments in (["--seconds"], ["--seconds", "0"], ["--seconds", "five"], ["--file-bytes", "-1"], ["--fast"]):
            process = self.start(*arguments)
            _, errors = process.communicate(timeout=PATIENCE_S)
            self.assertEqual(process.returncode, 2)
            self.assertIn(arguments[0], errors)


if __name__ == "__main__":
    unittest.main()
