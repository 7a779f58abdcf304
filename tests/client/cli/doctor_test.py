"""`pylabhub doctor`: what is seen of real processes that live, stop and are killed, and what is removed."""

import json
import os
import subprocess
import unittest

from tests.client.cli.tool import ToolTest


class DoctorTest(ToolTest):
    def look(self):
        code, output, _ = self.run_tool("doctor", "--output", "json")
        self.assertEqual(code, 0)
        return [json.loads(line) for line in output.splitlines()]

    def open_channel(self, name):
        """A publisher with one consumer, which has read one slot when this returns."""
        publisher = self.start("publish", name, "--slot-bytes", "4KiB", "--capacity", "3", stdin=subprocess.PIPE)
        tail = self.start("tail", name, "--wait", "30s", bufsize=0)
        publisher.stdin.write(b"x")
        publisher.stdin.flush()
        tail.stdout.readline()
        return publisher, tail

    def kill_both(self, publisher, tail):
        """Leaves an orphan: stopped, the consumer cannot clean up when its producer is killed."""
        tail.send_signal(19)
        publisher.kill()
        publisher.wait()
        tail.kill()
        tail.wait()

    def test_an_empty_host_is_healthy(self):
        self.assertEqual(self.look(), [])
        self.assertEqual(self.run_tool("doctor", "--check")[0], 0)
        self.assertEqual(self.run_tool("doctor", "--clean")[0], 0)

    def test_a_live_channel_is_listed_and_survives_every_verb(self):
        publisher, tail = self.open_channel("alive")
        [segment] = self.look()
        self.assertEqual((segment["channel"], segment["producer"], segment["problems"]), ("alive", "alive", []))
        self.assertEqual((segment["current"], segment["abandoned"]), (True, False))
        [consumer] = segment["consumers"]
        self.assertEqual((consumer["alive"], consumer["pid"], consumer["received_slots"]), (True, tail.pid, 1))
        code, output, _ = self.run_tool("doctor", "--check")
        self.assertEqual(code, 0)
        self.assertIn(b"current", output)
        self.assertEqual(self.run_tool("doctor", "--clean", "--yes")[0], 0)
        publisher.stdin.write(b"y")
        publisher.stdin.flush()
        self.assertTrue(tail.stdout.readline())
        self.finish(publisher)
        self.finish(tail)

    def test_what_killed_processes_left_is_found_shown_and_removed(self):
        self.kill_both(*self.open_channel("orphan"))
        code, output, _ = self.run_tool("doctor", "--check")
        self.assertEqual(code, 1)
        self.assertIn(b"nobody alive uses it", output)
        # No terminal to ask on: nothing is touched.
        code, _, errors = self.run_tool("doctor", "--clean")
        self.assertEqual(code, 2)
        self.assertIn("left over: orphan", errors)
        self.assertIn("--yes", errors)
        self.assertEqual(len(os.listdir(self.directory)), 3)
        code, output, _ = self.run_tool("doctor", "--clean", "--yes")
        self.assertEqual(code, 0)
        self.assertIn(b"removed: orphan", output)
        self.assertEqual(os.listdir(self.directory), [])

    def test_clean_leaves_a_living_channel_beside_an_orphan(self):
        publisher, tail = self.open_channel("alive")
        self.kill_both(*self.open_channel("orphan"))
        self.assertEqual(self.run_tool("doctor", "--clean", "--yes")[0], 0)
        self.assertEqual([segment["channel"] for segment in self.look()], ["alive"])
        self.finish(publisher)
        self.finish(tail)

    def test_a_strangers_file_is_named_and_kept(self):
        path = os.path.join(self.directory, "pylabhub.notes.txt")
        with open(path, "w", encoding="utf-8") as file:
            file.write("mine")
        code, output, _ = self.run_tool("doctor", "--check")
        self.assertEqual(code, 1)
        self.assertIn(b"notes.txt", output)
        self.assertEqual(self.run_tool("doctor", "--clean", "--yes")[0], 0)
        os.unlink(path)

    def test_flags_that_contradict_each_other_are_refused(self):
        for arguments in (["--check", "--clean"], ["--yes"]):
            self.assertEqual(self.run_tool("doctor", *arguments)[0], 2)


if __name__ == "__main__":
    unittest.main()
