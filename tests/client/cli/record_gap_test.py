"""Whatever interrupts the slots of a recording is told: in the file, in the summary, by the exit code."""

import os
import resource
import signal
import unittest

import h5py

from tests.client.cli.record_lab import Publisher, RecordTest


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
        os.waitpid(recorder.pid, os.WUNTRACED)  # until all of its threads have stopped
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


if __name__ == "__main__":
    unittest.main()
