"""The file of a recording as others read it: h5py, h5dump, the example, also while it is written or after its writer was killed."""

import json
import os
import subprocess
import unittest

import h5py
import numpy

from tests.client.cli.record_lab import SAMPLE_BYTES, Publisher, RecordTest
from tests.client.cli.tool import PATIENCE_S

EXAMPLE = os.path.abspath("client/examples/follow_recording.py")


class FileTest(RecordTest):

    def record_samples(self, slots, *arguments, records=1):
        recorder = self.record("lab.samples", *arguments)
        publisher = Publisher(self, "lab.samples", records=records)
        publisher.publish(slots)
        publisher.close()
        return self.finish_record(recorder)

    def test_h5py_reads_records_with_names_units_and_structs(self):
        self.record_samples(10, records=2)
        with h5py.File(self.file) as file:
            channel = file["lab.samples"]
            records = channel["records"]
            self.assertEqual(records.dtype.names, ("valid", "mode", "tag", "celsius", "counts", "at", "serial"))
            self.assertEqual(records.dtype.itemsize, SAMPLE_BYTES)
            numpy.testing.assert_array_equal(records["serial"], numpy.arange(20))
            numpy.testing.assert_array_equal(records["celsius"], 20 + numpy.arange(20) / 8)
            numpy.testing.assert_array_equal(records["at"]["y"], -numpy.arange(20))
            numpy.testing.assert_array_equal(records["counts"][3], [9, 10, 11])
            self.assertEqual(records["valid"].dtype, bool)
            self.assertEqual(list(records["tag"][:2]), [b"even", b"odd"])
            self.assertEqual(records.attrs["unit.celsius"], b"Cel")
            self.assertEqual(records.attrs["unit.at.x"], b"m")
            self.assertEqual(channel.attrs["policy"], b"sync_reader")
            self.assertIn(b"field at.x float32 1 24 m\n", channel["schema"][()])
            slots = channel["slots"]
            numpy.testing.assert_array_equal(slots["sequence"], numpy.arange(10))
            numpy.testing.assert_array_equal(slots["first_record"], numpy.arange(10) * 2)
            numpy.testing.assert_array_equal(slots["payload_bytes"], 2 * SAMPLE_BYTES)
            self.assertTrue((numpy.diff(slots["timestamp_ns"]) > 0).all())

    def test_h5dump_reads_it(self):
        self.record_samples(3)
        dump = subprocess.run(["h5dump", "-d", "/lab.samples/records", self.file], capture_output=True, text=True,
                              check=True)
        self.assertIn('H5T_IEEE_F64LE "celsius";', dump.stdout)
        self.assertIn("20.25", dump.stdout)
        self.assertIn('ATTRIBUTE "unit.celsius"', dump.stdout)

    def test_values_that_a_file_names_are_enumerations_and_replayed_bit_for_bit(self):
        names = os.path.join(self.folder, "names.json")
        with open(names, "w", encoding="utf-8") as file:
            # That 1 has no name changes nothing of what is recorded.
            file.write('{"name": "other", "enums": {"x": {"y": 1}}}\n'
                       '{"name": "lab.samples", "enums": {"mode": {"off": 0, "lost": 255}, "serial": {"first": 0}}}\n')
        recorder = self.record("lab.samples", "--enums", names)
        publisher = Publisher(self, "lab.samples", consumers=2)
        tail = self.start("tail", "lab.samples", "--raw", "--wait", "30s")
        publisher.publish(10)
        publisher.close()
        _, original, _ = self.finish(tail)
        self.finish_record(recorder)
        dump = subprocess.run(["h5dump", "-d", "/lab.samples/records", self.file], capture_output=True, text=True,
                              check=True).stdout
        for line in (r'"off"\s+0;', r'"lost"\s+255;', r'"first"\s+0;'):
            self.assertRegex(dump, line)
        with h5py.File(self.file) as file:
            records = file["lab.samples/records"]
            self.assertEqual(h5py.check_enum_dtype(records.dtype["mode"]), {"off": 0, "lost": 255})
            numpy.testing.assert_array_equal(records["mode"], [each % 3 == 0 for each in range(10)])
        replayed, _ = self.tail_of_replay("lab.samples", "--speed", "max")
        self.assertTrue(replayed == original)

    def test_a_reader_follows_while_it_is_written(self):
        recorder = self.record("lab.samples", "--flush", "20ms")
        publisher = Publisher(self, "lab.samples")
        publisher.publish(3)
        self.wait_until_recorded(3)
        with h5py.File(self.file, swmr=True) as file:
            slots = file["lab.samples/slots"]
            records = file["lab.samples/records"]
            for count in (10, 500):
                publisher.publish(count)
                before = slots.shape[0]

                def grown():
                    slots.refresh()
                    return slots.shape[0] >= before + count
                self.wait_until(grown, "the reader sees what is new")
                records.refresh()
                last = slots[-1]
                self.assertEqual(records[int(last["first_record"])]["serial"], last["sequence"])
        publisher.close()
        self.finish_record(recorder)

    def test_the_example_prints_every_slot_as_it_comes(self):
        recorder = self.record("lab.samples", "--flush", "20ms")
        publisher = Publisher(self, "lab.samples")
        publisher.publish(2)
        self.wait_until_recorded(2)
        example = subprocess.Popen(["/usr/bin/python3", EXAMPLE, self.file, "lab.samples"], stdout=subprocess.PIPE,
                                   text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
        self.processes.append(example)
        self.assertTrue(example.stdout.readline().startswith("0 "))
        publisher.publish(50)
        lines = [example.stdout.readline() for _ in range(51)]
        self.assertTrue(lines[-1].startswith("51 "), lines[-1])
        publisher.close()
        self.finish_record(recorder)
        self.assertEqual(example.communicate(timeout=PATIENCE_S)[0], "")
        self.assertEqual(example.returncode, 0)

    def test_what_a_killed_recorder_flushed_is_there(self):
        recorder = self.record("lab.samples", "--flush", "20ms")
        publisher = Publisher(self, "lab.samples", policy="publish_subscribe", capacity=4096)
        publisher.publish(700)
        self.wait_until_recorded(700)
        publisher.publish(1000)
        recorder.kill()
        recorder.wait()
        publisher.close()
        listed = self.contents()[0]
        self.assertGreaterEqual(listed["slots"], 700)
        self.assertFalse(listed["ended"])
        output, _ = self.tail_of_replay("lab.samples", "--speed", "max", "--policy", "sync_reader",
                                        shape="--output json")
        serials = [json.loads(line)["records"][0]["serial"] for line in output.splitlines()]
        self.assertEqual(serials, list(range(listed["slots"])))
        with h5py.File(self.file, swmr=True) as file:
            self.assertGreaterEqual(file["lab.samples/slots"].shape[0], 700)
        # As the page says: so it becomes a file like any other.
        subprocess.run(["h5clear", "-s", self.file], check=True)
        with h5py.File(self.file) as file:
            numpy.testing.assert_array_equal(file["lab.samples/records"]["serial"][:700], numpy.arange(700))

    def test_a_recorder_killed_at_any_moment_leaves_a_file_that_is_read(self):
        for attempt in range(8):
            file = os.path.join(self.folder, f"killed{attempt}.h5")
            recorder = self.record("lab.samples", "--flush", "1ms", "--rotate-bytes", "0", file=file)
            publisher = Publisher(self, "lab.samples", policy="publish_subscribe", capacity=4096)
            self.wait_until(lambda: os.path.exists(file) and self.list_code(file) == 0, "a file that is read")
            for _ in range(attempt * 3):
                publisher.publish(97)
            recorder.kill()
            recorder.wait()
            publisher.close()
            listed = self.contents(file)[0]
            with h5py.File(file, swmr=True) as opened:
                records = opened["lab.samples/records"]
                numpy.testing.assert_array_equal(records["serial"][:listed["slots"]], numpy.arange(listed["slots"]))

    def list_code(self, file):
        return self.run_tool("replay", "--list", file, "--output", "json")[0]


if __name__ == "__main__":
    unittest.main()
