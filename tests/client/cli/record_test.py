"""`pylabhub record` and `pylabhub replay`: real processes, files read by h5py, h5dump and the tool itself."""

import hashlib
import json
import os
import resource
import signal
import subprocess
import tempfile
import time
import unittest

import h5py
import numpy

from tests.client.cli.tool import PATIENCE_S, TOOL, ToolTest

PUBLISHER = os.path.abspath("tests/client/recording/sample_publisher")
BENCH = os.path.abspath("tests/bench/recording/recording_bench.py")
EXAMPLE = os.path.abspath("client/examples/follow_recording.py")
# As tests/client/recording/sample.h has it.
SAMPLE_BYTES = 40


class Publisher:
    """A producer of samples that does what it is told, when it is told."""

    def __init__(self, test, channel, policy="sync_reader", capacity=16, records=1, consumers=1, first=0):
        self.process = subprocess.Popen(
            [PUBLISHER, test.directory, channel, policy, *map(str, (capacity, records, consumers, first))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        test.processes.append(self.process)
        test.assertEqual(self.process.stdout.readline(), "ready\n")

    def publish(self, slots):
        """Returns once they are in the channel."""
        self.process.stdin.write(f"{slots}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline(), "the publisher is gone"

    def close(self):
        self.process.communicate(timeout=PATIENCE_S)
        assert self.process.returncode == 0

    def die(self):
        self.process.stdin.write("die\n")
        self.process.stdin.flush()
        assert self.process.wait(PATIENCE_S) == -signal.SIGKILL


class RecordTest(ToolTest):

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.file = os.path.join(folder.name, "run.h5")

    def record(self, *arguments, file=None, **options):
        return self.start("record", file or self.file, *arguments, "--wait", "30s", "--output", "json", **options)

    def finish_record(self, process, code=0):
        """Its summary, as JSON."""
        actual, output, errors = self.finish(process)
        self.assertEqual(actual, code, errors)
        return json.loads(output)

    def contents(self, *files):
        code, output, errors = self.run_tool("replay", "--list", *(files or (self.file,)), "--output", "json")
        self.assertEqual((code, errors), (0, ""))
        return [json.loads(line) for line in output.splitlines()]

    def wait_until(self, condition, what):
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            self.assertLess(time.monotonic(), deadline, what)

    def wait_until_recorded(self, slots):
        """Until so many can be read from the file, while it is being written."""
        self.wait_until(
            lambda: os.path.exists(self.file) and self.run_tool("replay", "--list", self.file, "--output", "json")[0] == 0
            and self.contents()[0]["slots"] >= slots, f"{slots} slots in the file")

    def tail_of_replay(self, channel, *arguments, files=None, shape="--raw"):
        """What a consumer gets of a replay: (its output, the replay's summary)."""
        replay = self.start("replay", *(files or [self.file]), "--output", "json", *arguments)
        tail = self.start("tail", channel, *shape.split(), "--wait", "30s")
        code, output, errors = self.finish(tail)
        self.assertEqual((code, errors), (0, ""))
        code, summary, errors = self.finish(replay)
        self.assertEqual((code, errors), (0, ""))
        return output, json.loads(summary)

    def publish_file(self, payload, *arguments):
        file = tempfile.NamedTemporaryFile()
        self.addCleanup(file.close)
        file.write(payload)
        file.flush()
        return self.start("publish", "files", file.name, *arguments)


class RoundTripTest(RecordTest):

    def test_what_was_recorded_is_replayed_bit_for_bit(self):
        payload = os.urandom(9 * 1024 * 1024 + 12345)
        publisher = self.publish_file(payload, "--slot-bytes", "64KiB", "--capacity", "4")
        summary = self.finish_record(self.record("files"))
        self.assertEqual(self.finish(publisher)[0], 0)
        self.assertEqual(summary["channels"][0],
                         {"channel": "files", "slots": 145, "payload_bytes": len(payload), "missed_slots": 0,
                          "corrupt_slots": 0, "producers": 1, "end": "producer_closed"})
        output, summary = self.tail_of_replay("files", "--speed", "max")
        self.assertEqual(hashlib.sha256(output).hexdigest(), hashlib.sha256(payload).hexdigest())
        self.assertEqual((summary["slots"], summary["all_slots"]), (145, 145))

    def test_typed_slots_of_several_records_are_replayed_bit_for_bit_padding_included(self):
        recorder = self.record("lab.samples")
        publisher = Publisher(self, "lab.samples", records=3, consumers=2)
        tail = self.start("tail", "lab.samples", "--raw", "--wait", "30s")
        publisher.publish(100)
        publisher.close()
        _, original, _ = self.finish(tail)
        self.finish_record(recorder)
        self.assertEqual(len(original), 300 * SAMPLE_BYTES)
        replayed, _ = self.tail_of_replay("lab.samples", "--speed", "max")
        self.assertTrue(replayed == original)
        # The schema came back too, with units.
        text, _ = self.tail_of_replay("again.lab.samples", "--speed", "max", "--prefix", "again.",
                                      shape="--output text")
        self.assertIn(b"celsius=20.125 Cel", text)

    def test_compressed_files_are_smaller_and_equal(self):
        payload = b"pylabhub " * 200_000
        sizes = []
        for level in ("0", "4"):
            file = os.path.join(self.folder, f"level{level}.h5")
            publisher = self.publish_file(payload, "--slot-bytes", "10000")
            summary = self.finish_record(self.record("files", "--compress", level, file=file))
            self.finish(publisher)
            sizes.append(summary["file_bytes"])
            output, _ = self.tail_of_replay("files", "--speed", "max", files=[file])
            self.assertTrue(output == payload)
        self.assertLess(sizes[1] * 4, sizes[0])

    def test_the_pace_is_the_recorded_one_times_the_speed(self):
        recorder = self.record("lab.samples")
        publisher = Publisher(self, "lab.samples")
        publisher.publish(1)
        # The pace itself is what is tested: a pause between two slots.
        time.sleep(0.4)
        publisher.publish(1)
        publisher.close()
        self.finish_record(recorder)
        for speed in (1, 2):
            _, summary = self.tail_of_replay("lab.samples", "--speed", str(speed))
            self.assertGreaterEqual(summary["recorded_s"], 0.4)
            self.assertGreaterEqual(summary["elapsed_s"], summary["recorded_s"] / speed)

    def test_parts_of_a_recording_are_replayed_as_one(self):
        payload = os.urandom(20_000_000)
        publisher = self.publish_file(payload, "--slot-bytes", "10000")
        summary = self.finish_record(self.record("files", "--rotate-bytes", "1MB"))
        self.finish(publisher)
        files = summary["files"]
        # A file is as large as a batch at least, 4 MiB.
        self.assertGreaterEqual(len(files), 4)
        self.assertTrue(files[0].endswith("run-0001.h5"))
        self.assertEqual(sum(each["slots"] for each in self.contents(*files)), 2000)
        output, _ = self.tail_of_replay("files", "--speed", "max", files=list(reversed(files)))
        self.assertTrue(output == payload)

    def test_a_file_that_is_old_enough_is_followed_by_the_next(self):
        recorder = self.record("lab.samples", "--rotate-time", "1ms", "--flush", "20ms")
        publisher = Publisher(self, "lab.samples")
        parts = [os.path.join(self.folder, f"run-000{part}.h5") for part in (1, 2, 3)]
        for part in parts:
            publisher.publish(1)
            self.wait_until(
                lambda: os.path.exists(part) and self.run_tool("replay", "--list", part)[0] == 0
                and self.contents(part)[0]["slots"] == 1, f"a slot in {part}")
        publisher.close()
        self.assertEqual(self.finish_record(recorder)["files"][:3], parts)
        _, summary = self.tail_of_replay("lab.samples", "--speed", "max", files=parts)
        self.assertEqual(summary["slots"], 3)

    def test_several_channels_are_replayed_together_or_one_alone(self):
        recorder = self.record("lab.left", "lab.right")
        left = Publisher(self, "lab.left")
        right = Publisher(self, "lab.right", first=1000)
        for _ in range(5):
            left.publish(1)
            right.publish(2)
        left.close()
        right.close()
        self.assertEqual([each["slots"] for each in self.finish_record(recorder)["channels"]], [5, 10])
        replay = self.start("replay", self.file, "--speed", "max")
        tails = [self.start("tail", name, "--output", "json", "--wait", "30s") for name in ("lab.left", "lab.right")]
        serials = [[record["serial"] for line in self.finish(tail)[1].splitlines()
                    for record in json.loads(line)["records"]] for tail in tails]
        self.assertEqual(serials, [list(range(5)), list(range(1000, 1010))])
        self.assertEqual(self.finish(replay)[0], 0)
        output, summary = self.tail_of_replay("lab.right", "--channel", "lab.right", "--speed", "max")
        self.assertEqual((len(output), summary["all_slots"]), (10 * SAMPLE_BYTES, 10))


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


class GapTest(RecordTest):

    def gaps(self):
        with h5py.File(self.file) as file:
            gaps = file["lab.samples/gaps"]
            names = {number: name for name, number in h5py.check_enum_dtype(gaps.dtype["kind"]).items()}
            return [(names[gap["kind"]], int(gap["before_slot"]), int(gap["missed_slots"])) for gap in gaps[:]]

    def test_missed_slots_are_in_the_file_the_summary_and_the_exit_code(self):
        recorder = self.record("lab.samples", "--flush", "20ms")
        publisher = Publisher(self, "lab.samples", policy="publish_subscribe", capacity=16)
        publisher.publish(5)
        self.wait_until_recorded(5)
        recorder.send_signal(signal.SIGSTOP)
        publisher.publish(200)
        recorder.send_signal(signal.SIGCONT)
        self.wait_until_recorded(6)
        publisher.close()
        summary = self.finish_record(recorder, code=8)["channels"][0]
        self.assertGreaterEqual(summary["missed_slots"], 184)
        self.assertEqual(summary["slots"] + summary["missed_slots"], 205)
        with h5py.File(self.file) as file:
            sequences = file["lab.samples/slots"]["sequence"]
        missed = [gap for gap in self.gaps() if gap[0] == "missed"]
        self.assertEqual(sum(gap[2] for gap in missed), summary["missed_slots"])
        for _, before, count in missed:
            self.assertEqual(sequences[before] - sequences[before - 1], count + 1)
        self.assertEqual(self.contents()[0]["missed_slots"], summary["missed_slots"])

    def test_the_next_producer_is_followed_and_the_change_is_a_gap(self):
        recorder = self.record("lab.samples", "--follow", "30s", "--flush", "20ms")
        first = Publisher(self, "lab.samples")
        first.publish(4)
        first.die()
        second = Publisher(self, "lab.samples", first=100, consumers=0)
        second.publish(3)
        self.wait_until_recorded(7)
        recorder.send_signal(signal.SIGINT)
        summary = self.finish_record(recorder, code=130)["channels"][0]
        second.close()
        self.assertEqual((summary["slots"], summary["producers"], summary["end"]), (7, 2, "recorder_stopped"))
        self.assertEqual(self.gaps(), [("producer_died", 4, 0), ("recorder_stopped", 7, 0)])
        with h5py.File(self.file) as file:
            channel = file["lab.samples"]
            self.assertEqual(list(channel["slots"]["segment"]), [0] * 4 + [1] * 3)
            self.assertEqual(list(channel["slots"]["sequence"]), [0, 1, 2, 3, 0, 1, 2])
            self.assertEqual(list(channel["segments"]["first_slot"]), [0, 4])
            self.assertEqual(len(set(channel["segments"]["segment_id"])), 2)

    def test_a_producer_that_dies_ends_the_recording_and_is_told_by_the_exit_code(self):
        recorder = self.record("lab.samples")
        publisher = Publisher(self, "lab.samples")
        publisher.publish(2)
        publisher.die()
        summary = self.finish_record(recorder, code=4)
        self.assertEqual(summary["channels"][0]["end"], "producer_died")

    def test_of_a_channel_of_newest_slots_each_is_recorded_that_can_be(self):
        recorder = self.record("lab.samples", "--flush", "20ms")
        publisher = Publisher(self, "lab.samples", policy="latest_only")
        for count in range(1, 4):
            publisher.publish(1)
            self.wait_until_recorded(count)
        publisher.close()
        self.assertEqual(self.finish_record(recorder)["channels"][0]["slots"], 3)

    def test_a_time_ends_the_recording(self):
        publisher = Publisher(self, "lab.samples", consumers=0)
        summary = self.finish_record(self.record("lab.samples", "--for", "50ms"))
        self.assertEqual(summary["channels"][0]["end"], "recorder_stopped")
        publisher.close()

    def test_a_recording_without_room_keeps_what_was_written(self):
        def limit():
            # A write beyond is then an error; the default would be the end of the process.
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        recorder = self.record("lab.samples", "--flush", "20ms", preexec_fn=limit, restore_signals=False)
        publisher = Publisher(self, "lab.samples", policy="publish_subscribe", capacity=65536)
        publisher.publish(1000)
        self.wait_until_recorded(1000)
        publisher.publish(60_000)
        code, _, errors = self.finish(recorder)
        self.assertEqual(code, 1, errors)
        self.assertIn("File too large", errors)
        publisher.close()
        self.assertGreaterEqual(self.contents()[0]["slots"], 1000)


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
