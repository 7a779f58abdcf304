"""`pylabhub publish` and `pylabhub tail`, as two processes on one channel."""

import base64
import hashlib
import json
import os
import re
import signal
import subprocess
import tempfile
import unittest

from tests.client.cli.tool import PATIENCE_S, TOOL, ToolTest


class PublishTailTest(ToolTest):
    def publish_file(self, payload, *arguments):
        file = tempfile.NamedTemporaryFile()
        self.addCleanup(file.close)
        file.write(payload)
        file.flush()
        return self.start("publish", "files", file.name, *arguments)

    def test_a_file_arrives_byte_for_byte(self):
        payload = os.urandom(5 * 1024 * 1024 + 12345)
        publisher = self.publish_file(payload, "--slot-bytes", "64KiB", "--capacity", "4")
        code, output, errors = self.run_tool("tail", "files", "--raw", "--wait", "30s")
        self.assertEqual((code, errors), (0, ""))
        self.assertEqual(hashlib.sha256(output).hexdigest(), hashlib.sha256(payload).hexdigest())
        self.assertEqual(self.finish(publisher)[0], 0)

    def test_every_consumer_gets_the_whole_file(self):
        payload = os.urandom(1024 * 1024)
        publisher = self.publish_file(payload, "--slot-bytes", "4KiB", "--consumers", "3")
        outputs = [tempfile.TemporaryFile() for _ in range(3)]
        tails = [self.start("tail", "files", "--raw", "--wait", "30s", stdout=output) for output in outputs]
        for tail, output in zip(tails, outputs):
            self.assertEqual(self.finish(tail)[0], 0)
            with output:
                output.seek(0)
                self.assertTrue(output.read() == payload)
        self.assertEqual(self.finish(publisher)[0], 0)

    def test_a_channel_of_one_slot_loses_nothing_either(self):
        payload = os.urandom(300_000)
        publisher = self.publish_file(payload, "--slot-bytes", "1000", "--capacity", "1", "--policy",
                                      "single_reader")
        code, output, _ = self.run_tool("tail", "files", "--raw", "--wait", "30s")
        self.assertEqual(code, 0)
        self.assertTrue(output == payload)
        self.assertEqual(self.finish(publisher)[0], 0)

    def test_a_group_shares_the_work_and_each_group_gets_everything(self):
        payload = bytes(range(256)) * 40
        publisher = self.publish_file(payload, "--slot-bytes", "100", "--capacity", "4", "--policy", "pipeline",
                                      "--group", "work", "--group", "archive", "--consumers", "3")
        tails = [self.start("tail", "files", "--group", group, "--output", "json", "--wait", "30s")
                 for group in ("work", "archive", "work")]
        slots = []
        for tail in tails:
            code, output, errors = self.finish(tail)
            self.assertEqual((code, errors), (0, ""))
            slots.append([json.loads(line) for line in output.splitlines()])
        self.assertEqual(self.finish(publisher)[0], 0)
        by_sequence = lambda some: sorted(some, key=lambda slot: slot["sequence"])
        for everything in (slots[1], by_sequence(slots[0] + slots[2])):
            self.assertEqual([slot["sequence"] for slot in everything], list(range(103)))
            self.assertEqual(b"".join(base64.b64decode(slot["base64"]) for slot in everything), payload)
            self.assertFalse(any("redelivered" in slot for slot in everything))

    def test_what_a_killed_member_held_is_shown_as_redelivered(self):
        publisher = self.publish_file(bytes(200_000), "--policy", "pipeline")
        victim = self.start("tail", "files", "--raw", "--wait", "30s")
        # Its pipe is full, so that it stands with the slot in its hands.
        self.assertTrue(victim.stdout.read(1000))
        self.assertEqual(self.finish(publisher)[0], 0)
        survivor = self.start("tail", "files", "--output", "json")
        victim.kill()
        code, output, _ = self.finish(survivor)
        self.assertEqual(code, 0)
        self.assertIs(json.loads(output)["redelivered"], True)

    def test_an_empty_input_is_an_empty_channel(self):
        publisher = self.start("publish", "empty")
        code, output, _ = self.run_tool("tail", "empty", "--raw", "--wait", "30s")
        self.assertEqual((code, output), (0, b""))
        self.assertEqual(self.finish(publisher)[0], 0)

    def test_json_lines_hold_each_slot_in_order(self):
        payload = bytes(range(256)) * 4
        publisher = self.publish_file(payload, "--slot-bytes", "100")
        code, output, _ = self.run_tool("tail", "files", "--output", "json", "--wait", "30s")
        self.assertEqual(code, 0)
        slots = [json.loads(line) for line in output.splitlines()]
        self.assertEqual([slot["sequence"] for slot in slots], list(range(11)))
        self.assertEqual({slot["missed_slots"] for slot in slots}, {0})
        self.assertEqual(b"".join(base64.b64decode(slot["base64"]) for slot in slots), payload)
        self.assertEqual(self.finish(publisher)[0], 0)

    def test_a_line_typed_is_a_line_sent(self):
        publisher = self.start("publish", "typed", stdin=subprocess.PIPE)
        tail = self.start("tail", "typed", "--wait", "30s", bufsize=0)
        publisher.stdin.write(b"first\n")
        publisher.stdin.flush()
        # The block is far from full, and the input has not ended.
        self.assertIn(b"6 bytes  66697273740a", tail.stdout.readline())
        self.assertEqual(self.finish(publisher)[0], 0)
        self.assertEqual(self.finish(tail)[0], 0)

    def test_count_ends_the_tail_and_then_the_publisher_says_that_nobody_is_left(self):
        publisher = self.publish_file(os.urandom(100_000), "--slot-bytes", "100", "--capacity", "2")
        code, output, _ = self.run_tool("tail", "files", "--count", "3", "--wait", "30s")
        self.assertEqual((code, len(output.splitlines())), (0, 3))
        code, _, errors = self.finish(publisher)
        self.assertEqual(code, 6)
        self.assertIn("every consumer of files left", errors)

    def test_progress_with_pace_and_time_left_is_for_a_terminal(self):
        payload = os.urandom(2_000_000)
        file = self.scratch("payload")
        with open(file, "wb") as written:
            written.write(payload)
        screen, terminal = os.openpty()
        self.addCleanup(os.close, screen)
        publisher = subprocess.Popen([TOOL, "publish", "files", file, "--slot-bytes", "10000", "--capacity", "4",
                                      "--directory", self.directory], stdout=subprocess.PIPE, stderr=terminal)
        self.processes.append(publisher)
        os.close(terminal)
        # Nobody takes what it writes, beyond what fits into a pipe: the publisher waits for it.
        tail = self.start("tail", "files", "--raw", "--wait", "30s")
        shown = b""
        while not re.search(rb"\d+ slots  .*/s  \d+ %  \d+:\d\d left", shown):
            shown += os.read(screen, 1000)
        self.assertTrue(tail.communicate(timeout=PATIENCE_S)[0] == payload)
        self.assertEqual(publisher.wait(PATIENCE_S), 0)

    def test_a_killed_publisher_is_told_from_one_that_closed(self):
        publisher = self.start("publish", "killed", stdin=subprocess.PIPE)
        tail = self.start("tail", "killed", "--wait", "30s", bufsize=0)
        publisher.stdin.write(b"x")
        publisher.stdin.flush()
        self.assertIn(b"1 bytes  78", tail.stdout.readline())
        publisher.kill()
        code, _, errors = self.finish(tail)
        self.assertEqual(code, 4)
        self.assertIn("died without closing", errors)

    def test_a_killed_consumer_does_not_stop_the_others(self):
        payload = os.urandom(2_000_000)
        publisher = self.publish_file(payload, "--slot-bytes", "10000", "--capacity", "2", "--consumers", "2")
        victim = self.start("tail", "files", "--raw", "--wait", "30s")
        survivor = self.start("tail", "files", "--raw", "--wait", "30s")
        # The victim's pipe fills, so that it stands with a slot in its hands.
        self.assertTrue(victim.stdout.read(1000))
        victim.kill()
        code, output, _ = self.finish(survivor)
        self.assertEqual(code, 0)
        self.assertTrue(output == payload)
        self.assertEqual(self.finish(publisher)[0], 0)

    def test_interrupted_publisher_closes_its_channel(self):
        publisher = self.start("publish", "stopped", stdin=subprocess.PIPE)
        tail = self.start("tail", "stopped", "--wait", "30s", bufsize=0)
        publisher.stdin.write(b"x")
        publisher.stdin.flush()
        tail.stdout.readline()
        publisher.send_signal(signal.SIGINT)
        self.assertEqual(publisher.wait(60), 130)
        self.assertEqual(self.finish(tail)[0], 0)

    def test_interrupted_tail_leaves_at_once(self):
        publisher = self.start("publish", "quiet", stdin=subprocess.PIPE)
        tail = self.start("tail", "quiet", "--wait", "30s", bufsize=0)
        publisher.stdin.write(b"x")
        publisher.stdin.flush()
        tail.stdout.readline()
        tail.send_signal(signal.SIGTERM)
        self.assertEqual(self.finish(tail)[0], 130)
        self.assertEqual(self.finish(publisher)[0], 0)

    def test_a_closed_pipe_ends_the_tail_without_an_error(self):
        publisher = self.publish_file(os.urandom(3_000_000), "--slot-bytes", "100000", "--capacity", "2")
        tail = self.start("tail", "files", "--raw", "--wait", "30s")
        tail.stdout.read(10)
        tail.stdout.close()
        self.assertEqual(tail.wait(60), 0)
        self.assertEqual(self.finish(publisher)[0], 6)

    def test_timeouts_say_what_did_not_come(self):
        code, _, errors = self.run_tool("publish", "lonely", "--timeout", "50ms")
        self.assertEqual(code, 5)
        self.assertIn("0 of 1 consumers attached to lonely", errors)
        publisher = self.start("publish", "silent", stdin=subprocess.PIPE)
        code, _, errors = self.run_tool("tail", "silent", "--wait", "30s", "--timeout", "50ms")
        self.assertEqual(code, 5)
        self.assertIn("nothing came on silent", errors)
        self.finish(publisher)

    def test_output_that_is_no_terminal_has_no_colour(self):
        publisher = self.publish_file(b"x")
        _, output, _ = self.run_tool("tail", "files", "--wait", "30s")
        self.assertNotIn(b"\033", output)
        self.finish(publisher)


if __name__ == "__main__":
    unittest.main()
