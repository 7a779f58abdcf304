"""`pylabhub record` and `replay` through a real broker, which hands the channels' memory over."""

import json
import subprocess
import unittest

import h5py
import numpy

from tests.client.cli import broker_lab
from tests.client.cli.flowing import FlowingTest
from tests.client.cli.record_lab import RecordTest

STATE = """pylabhub-schema 1
record State 16
field celsius float64 1 0 Cel
field arm.mode uint8 1 8 
field flags int32 1 12 
"""
NAMES = {"name": "robot.state", "enums": {"arm.mode": {"off": 0, "on": 1, "lost": 255}, "flags": {"none": 0, "all": -1}}}
WITH_BROKER = ("describe", "publish", "record", "replay", "schema", "tail")


class RecordThroughABrokerTest(RecordTest, FlowingTest):

    def setUp(self):
        self.broker = []
        super().setUp()
        self.broker = broker_lab.start(self)

    def start(self, verb, *arguments, **options):
        # Who names no folder gets its memory from the broker's hands.
        return super().start(verb, *arguments, *(self.broker if verb in WITH_BROKER else []), with_directory=False,
                             **options)

    def await_channel(self, channel):
        seen = self.until(lambda: self.describe(channel), lambda seen: seen.get("state") == "ready")
        self.assertEqual(seen["memory"], "handed over")

    def test_what_a_killed_recorder_flushed_is_replayed(self):
        publisher = self.flow("lab.readings", "--capacity", "256")
        self.await_channel("lab.readings")
        readings = [each / 8 for each in range(200)]
        self.send(publisher, *readings[:50])
        recorder = self.record("lab.readings", "--oldest", "--flush", "20ms")
        self.wait_until_recorded(50)
        self.send(publisher, *readings[50:])
        recorder.kill()
        recorder.wait()
        self.end(publisher)
        listed = self.contents()[0]
        self.assertFalse(listed["ended"])
        self.assertGreaterEqual(listed["slots"], 50)

        replay = self.start("replay", self.file, "--speed", "max", "--output", "json")
        self.await_channel("lab.readings")
        tail = self.start("tail", "lab.readings", "--output", "json", "--wait", "30s")
        code, output, errors = self.finish(tail)
        self.assertEqual(code, 0, errors)
        replayed = [json.loads(line)["records"][0]["celsius"] for line in output.splitlines()]
        self.assertEqual(replayed, readings[:listed["slots"]])
        code, summary, errors = self.finish(replay)
        self.assertEqual(code, 0, errors)
        self.assertEqual(json.loads(summary)["slots"], listed["slots"])

    def register_names(self):
        schema, names = self.scratch("state.schema"), self.scratch("names.json")
        with open(schema, "w", encoding="utf-8") as file:
            file.write(STATE)
        with open(names, "w", encoding="utf-8") as file:
            json.dump(NAMES, file)
        code, output, errors = self.run_tool("schema", "register", "robot.state", "--file", schema, "--enums", names,
                                             "--output", "json")
        self.assertEqual(code, 0, errors)
        version = str(json.loads(output)["version"])
        code, output, errors = self.run_tool("schema", "get", "robot.state", "--version", version, "--output", "json")
        self.assertEqual(code, 0, errors)
        self.assertEqual(json.loads(output)["enums"], NAMES["enums"])
        return schema

    def test_values_that_the_registry_names_are_enumerations(self):
        schema = self.register_names()
        # The producer registers its schema without names, which is a version of its own, and the latest.
        publisher = self.start("publish", "robot.state", "--format", "json", "--schema", schema, "--consumers", "2",
                               stdin=subprocess.PIPE)
        self.await_channel("robot.state")
        recorder = self.record("robot.state")
        tail = self.start("tail", "robot.state", "--raw", "--wait", "30s")
        modes, flags = [0, 1, 255, 7], [0, -1, 3, 0]
        for mode, flag in zip(modes, flags):
            publisher.stdin.write(json.dumps({"celsius": 1.5, "arm.mode": mode, "flags": flag}).encode() + b"\n")
        publisher.stdin.flush()
        self.end(publisher)
        _, original, _ = self.finish(tail)
        self.finish_record(recorder)
        dump = subprocess.run(["h5dump", "-d", "/robot.state/records", self.file], capture_output=True, text=True,
                              check=True).stdout
        for line in (r'"lost"\s+255;', r'"all"\s+-1;'):
            self.assertRegex(dump, line)
        with h5py.File(self.file) as file:
            records = file["robot.state/records"]
            self.assertEqual(h5py.check_enum_dtype(records.dtype["arm"]["mode"]), NAMES["enums"]["arm.mode"])
            self.assertEqual(h5py.check_enum_dtype(records.dtype["flags"]), NAMES["enums"]["flags"])
            numpy.testing.assert_array_equal(records["arm"]["mode"], modes)
            numpy.testing.assert_array_equal(records["flags"], flags)
        self.assertEqual(len(original), len(modes) * 16)
        replay = self.start("replay", self.file, "--speed", "max")
        code, replayed, errors = self.finish(self.start("tail", "robot.state", "--raw", "--wait", "30s"))
        self.assertEqual(code, 0, errors)
        self.assertTrue(replayed == original)
        self.assertEqual(self.finish(replay)[0], 0)


if __name__ == "__main__":
    unittest.main()
