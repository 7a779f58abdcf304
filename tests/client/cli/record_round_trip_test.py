"""What `pylabhub record` wrote, `pylabhub replay` sends again: equal, in order, at its pace."""

import hashlib
import json
import os
import time
import unittest

from tests.client.cli.record_lab import SAMPLE_BYTES, Publisher, RecordTest


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


if __name__ == "__main__":
    unittest.main()
