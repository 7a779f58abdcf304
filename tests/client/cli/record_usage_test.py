"""How `pylabhub record` and `replay` answer what cannot be done, and how they show what they do."""

import os
import subprocess
import unittest

import h5py

from tests.client.cli.record_lab import Publisher, RecordTest
from tests.client.cli.tool import PATIENCE_S, TOOL

BENCH = os.path.abspath("tests/bench/recording/recording_bench.py")


class UsageTest(RecordTest):

    def test_a_file_that_is_there_is_not_overwritten(self):
        with open(self.file, "w") as file:
            file.write("precious")
        publisher = Publisher(self, "lab.samples")
        code, _, errors = self.run_tool("record", self.file, "lab.samples")
        self.assertEqual(code, 1)
        self.assertIn("run.h5 is there already", errors)
        with open(self.file) as file:
            self.assertEqual(file.read(), "precious")
        publisher.close()

    def test_a_folder_that_is_not_there_is_told(self):
        publisher = Publisher(self, "lab.samples")
        code, _, errors = self.run_tool("record", os.path.join(self.folder, "none", "run.h5"), "lab.samples")
        self.assertEqual(code, 1)
        self.assertIn("none/run.h5: No such file or directory; make its folder first", errors)
        publisher.close()

    def test_a_channel_that_is_not_there_is_told(self):
        code, _, errors = self.run_tool("record", self.file, "nowhere")
        self.assertEqual(code, 3)
        self.assertIn("nowhere", errors)
        self.assertFalse(os.path.exists(self.file))

    def test_a_channel_twice_and_a_level_too_high_are_wrong(self):
        publisher = Publisher(self, "lab.samples")
        self.assertEqual(self.run_tool("record", self.file, "lab.samples", "lab.samples")[0], 2)
        self.assertEqual(self.run_tool("record", self.file, "lab.samples", "--compress", "10")[0], 2)
        publisher.close()

    def test_names_of_values_that_are_no_good_are_told_and_nothing_is_recorded(self):
        names = os.path.join(self.folder, "names.json")
        publisher = Publisher(self, "lab.samples")
        for line, told in (('{"name": "lab.samples", "enums": {"mood": {"bad": 0}}}', "'mood', which it does not have"),
                           ('{"name": "lab.samples", "enums": {"celsius": {"cold": 0}}}', "'celsius', which is no integer"),
                           ('{"name": "lab.samples", "enums": {"mode": {"off": 0.5}}}', "names.json line 1"),
                           ("mode off 0", "names.json line 1")):
            with open(names, "w", encoding="utf-8") as file:
                file.write(line + "\n")
            code, _, errors = self.run_tool("record", self.file, "lab.samples", "--enums", names)
            self.assertEqual(code, 2, errors)
            self.assertIn(told, errors)
        code, _, errors = self.run_tool("record", self.file, "lab.samples", "--enums", self.folder)
        self.assertEqual(code, 1)
        self.assertIn("cannot read", errors)
        self.assertFalse(os.path.exists(self.file))
        publisher.close()

    def test_nothing_is_taken_from_the_workers_of_a_pipeline_by_accident(self):
        publisher = Publisher(self, "lab.samples", policy="pipeline")
        code, _, errors = self.run_tool("record", self.file, "lab.samples")
        self.assertEqual(code, 1)
        self.assertIn("--group workers", errors)
        recorder = self.record("lab.samples", "--group", "workers")
        publisher.publish(3)
        publisher.close()
        self.assertEqual(self.finish_record(recorder)["channels"][0]["slots"], 3)

    def test_what_is_no_recording_is_not_replayed(self):
        code, _, errors = self.run_tool("replay", os.path.join(self.folder, "none.h5"))
        self.assertEqual(code, 3)
        with h5py.File(self.file, "w") as file:
            file["x"] = 1
        code, _, errors = self.run_tool("replay", self.file)
        self.assertEqual(code, 1)
        self.assertIn("no recording", errors)
        self.assertEqual(self.run_tool("replay", self.file, "--speed", "-1")[0], 2)

    def test_a_replay_that_nobody_wants_gives_up(self):
        recorder = self.record("lab.samples")
        publisher = Publisher(self, "lab.samples")
        publisher.publish(1)
        publisher.close()
        self.finish_record(recorder)
        code, _, errors = self.run_tool("replay", self.file, "--timeout", "50ms")
        self.assertEqual(code, 5)
        self.assertIn("0 of 1 consumers", errors)
        code, _, errors = self.run_tool("replay", self.file, "--channel", "other")
        self.assertEqual(code, 3)

    def test_the_bench_measures_all_three(self):
        bench = subprocess.run(["/usr/bin/python3", BENCH, "--tool", TOOL, "--suite", "record", "--rounds", "1",
                                "--mebibytes", "4"], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        self.assertEqual(bench.returncode, 0, bench.stderr)
        self.assertEqual([line.split()[0] for line in bench.stdout.splitlines()], ["dd", "record", "replay"])

    def test_progress_is_for_a_terminal(self):
        screen, terminal = os.openpty()
        self.addCleanup(os.close, screen)
        publisher = Publisher(self, "lab.samples")
        recorder = subprocess.Popen([TOOL, "record", self.file, "lab.samples", "--for", "1h", "--directory",
                                     self.directory], stdout=subprocess.PIPE, stderr=terminal)
        self.processes.append(recorder)
        os.close(terminal)
        shown = b""
        while b"7 slots" not in shown:
            publisher.publish(7 if not shown else 0)
            shown += os.read(screen, 1000)
        self.assertIn(b" left", shown)
        publisher.close()
        self.assertEqual(recorder.wait(PATIENCE_S), 0)
        text = recorder.stdout.read().decode()
        self.assertIn("lab.samples: 7 slots, 280 B of 1 producer(s), nothing missed; closed by its producer\n", text)
        self.assertIn("recorded 7 slots, 280 B in ", text.splitlines()[-1])


if __name__ == "__main__":
    unittest.main()
