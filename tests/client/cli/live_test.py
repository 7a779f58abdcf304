"""`pylabhub top`, `plot`, `bench`: as plain lines, and in a terminal."""

import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import termios
import unittest

from tests.client.cli.flowing import FlowingTest
from tests.client.cli.tool import TOOL


class Terminal:
    """A terminal of 80 by 24 with the tool in it; remembers everything that was drawn."""

    def __init__(self, test, *arguments):
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        self.process = subprocess.Popen(
            [TOOL, *arguments, "--directory", test.directory], stdin=theirs, stdout=theirs, stderr=theirs,
            start_new_session=True, env={**os.environ, "TERM": "xterm", "LC_ALL": "C"})
        os.close(theirs)
        self.drawn = ""
        test.processes.append(self.process)
        test.addCleanup(os.close, self.ours)

    def read(self):
        """What is drawn next; nothing once the tool has gone."""
        while True:
            ready, _, _ = select.select([self.ours], [], [], 0.1)
            try:
                if ready:
                    self.drawn += os.read(self.ours, 65536).decode(errors="replace")
                    return True
            except OSError:
                return False
            if self.process.poll() is not None:
                return False

    def until(self, text):
        while text not in self.drawn:
            if not self.read():
                raise AssertionError(f"{text!r} was not drawn: {self.drawn!r}")

    def press(self, keys):
        os.write(self.ours, keys.encode())

    def end(self):
        while self.read():
            pass
        return self.process.wait(60)


class TopTest(FlowingTest):
    def test_batch_shows_every_channel_once_a_round(self):
        publishers = [self.flow(name) for name in ("first", "second")]
        for name in ("first", "second"):
            self.await_slots(name, 0)
        code, output, errors = self.run_tool("top", "--batch", "-n", "2", "--every", "10ms")
        self.assertEqual((code, errors), (0, ""))
        lines = output.decode().splitlines()
        self.assertEqual([line.split()[0] for line in lines], ["2", "CHANNEL", "first", "second"] * 2)
        self.assertIn("2 channels, 0 slots/s", lines[0])
        for publisher in publishers:
            self.end(publisher)

    def test_json_lines_have_the_rates_and_the_lag(self):
        publisher = self.flow("fast", consumers="1")
        tail = self.start("tail", "fast", "--wait", "30s", bufsize=0)
        top = self.start("top", "--batch", "--every", "20ms", "--output", "json", bufsize=0)
        json.loads(top.stdout.readline())
        self.send(publisher, *range(10))
        total = 0
        while total < 9.999:
            line = json.loads(top.stdout.readline())
            total += line["slots_per_second"] * line["interval_ns"] / 1e9
        self.assertEqual((line["channel"], len(line["consumers"])), ("fast", 1))
        top.terminate()
        self.assertEqual(self.finish(top)[0], 130)
        self.end(publisher)
        self.finish(tail)

    def test_in_a_terminal_keys_sort_and_q_ends(self):
        publisher = self.flow("shown")
        self.await_slots("shown", 0)
        terminal = Terminal(self, "top", "--every", "50ms")
        terminal.until("sorted by name")
        terminal.until("shown")
        terminal.press("l")
        terminal.until("lag")
        terminal.press("q")
        self.assertEqual(terminal.end(), 0)
        self.end(publisher)

    def test_without_a_terminal_it_says_what_to_do(self):
        code, output, errors = self.run_tool("top")
        self.assertEqual((code, output), (1, b""))
        self.assertIn("--batch", errors)


class PlotTest(FlowingTest):
    def test_batch_draws_one_frame_with_its_axis_and_unit(self):
        publisher = self.flow("curve", consumers="1")
        plot = self.start("plot", "curve", "celsius", "--wait", "30s", "--batch", "--count", "1", "--window", "10m",
                          "--columns", "60", "--rows", "12")
        self.send(publisher, 21.5)
        code, output, errors = self.finish(plot)
        self.assertEqual((code, errors), (0, ""))
        lines = output.decode().splitlines()
        self.assertEqual(len(lines), 12)
        self.assertEqual(lines[0], "celsius  21.5 Cel  min 21.5  max 21.5")
        self.assertIn("┤", lines[1])
        self.assertRegex(output.decode(), "[\u2801-\u28ff]")
        self.assertTrue(lines[-1].endswith("now"))
        self.finish(publisher)

    def test_the_end_of_the_channel_is_the_end_of_the_plot(self):
        publisher = self.flow("curve", consumers="1")
        plot = self.start("plot", "curve", "position[1]", "--wait", "30s", "--batch", "--window", "10m")
        self.send(publisher, 1)
        self.until(lambda: self.describe("curve"), lambda seen: (seen.get("consumers") or [{}])[0].get("received_slots"))
        self.end(publisher)
        code, output, _ = self.finish(plot)
        self.assertEqual(code, 0)
        self.assertIn("position[1]  1 mm", output.decode())

    def test_in_a_terminal_the_curve_moves_and_q_ends(self):
        publisher = self.flow("curve", consumers="1")
        terminal = Terminal(self, "plot", "curve", "celsius", "--wait", "30s")
        self.send(publisher, 20)
        terminal.until("20 Cel")
        self.send(publisher, 33)
        terminal.until("33")
        terminal.press("q")
        self.assertEqual(terminal.end(), 0)
        self.finish(publisher)

    def test_a_field_that_is_no_number_is_named_with_those_that_are(self):
        publisher = self.flow("curve")
        code, _, errors = self.run_tool("plot", "curve", "kelvin", "--wait", "30s", "--batch")
        self.assertEqual(code, 2)
        self.assertIn("no field of numbers 'kelvin'; it has celsius, count, position", errors)
        self.end(publisher)


class BenchTest(FlowingTest):
    def test_it_measures_round_trips_and_streaming_and_leaves_nothing(self):
        code, output, errors = self.run_tool("bench", "--duration", "20ms", "--slot-bytes", "64", "--slot-bytes",
                                             "64KiB", "--output", "json")
        self.assertEqual((code, errors), (0, ""))
        trips, small, large = [json.loads(line) for line in output.splitlines()]
        self.assertEqual((trips["measure"], trips["slot_bytes"]), ("round_trip", 64))
        self.assertGreater(trips["rounds"], 0)
        self.assertLessEqual(trips["median_ns"], trips["longest_ns"])
        self.assertEqual((small["slot_bytes"], large["slot_bytes"]), (64, 65536))
        for stream in (small, large):
            self.assertGreater(stream["slots"], 0)
            self.assertAlmostEqual(stream["bytes_per_second"], stream["slots"] * stream["slot_bytes"] * 1e9
                                   / stream["duration_ns"], delta=1 + stream["bytes_per_second"] * 1e-6)
        self.assertEqual(os.listdir(self.directory), [])

    def test_the_table_has_a_row_for_each(self):
        code, output, _ = self.run_tool("bench", "--duration", "10ms", "--slot-bytes", "4KiB")
        self.assertEqual(code, 0)
        self.assertEqual([line.split("  ")[0] for line in output.decode().splitlines()],
                         ["MEASURE", "round trip", "streaming"])

    def test_a_size_that_no_slot_has_is_refused(self):
        for arguments in (["--slot-bytes", "0"], ["--slot-bytes", "2GiB"], ["--duration", "0"]):
            self.assertEqual(self.run_tool("bench", *arguments)[0], 2)


if __name__ == "__main__":
    unittest.main()
