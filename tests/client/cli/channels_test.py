"""`pylabhub channels` with no broker: what is in shared memory, and who is at its ends."""

import json
import subprocess
import unittest

from tests.client.cli.tool import ToolTest


class ChannelsTest(ToolTest):
    def list_channels(self):
        code, output, _ = self.run_tool("channels", "--output", "json")
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

    def test_an_empty_host_lists_nothing(self):
        self.assertEqual(self.list_channels(), [])

    def test_a_channel_is_listed_with_its_ends_and_slots(self):
        publisher, tail = self.open_channel("listed")
        [channel] = self.list_channels()
        self.assertEqual(channel["channel"], "listed")
        self.assertEqual(channel["producer"], "alive")
        self.assertEqual(channel["producer_pid"], publisher.pid)
        self.assertEqual(channel["consumers"], 1)
        self.assertEqual((channel["capacity_slots"], channel["slot_bytes"], channel["committed_slots"]), (3, 4096, 1))
        self.assertEqual(channel["schema"], "bytes")
        code, output, _ = self.run_tool("channels")
        self.assertEqual(code, 0)
        self.assertIn(b"listed", output)
        self.finish(publisher)
        self.finish(tail)
        self.assertEqual(self.list_channels(), [])

    def test_a_killed_producer_is_listed_as_dead_while_a_consumer_still_reads(self):
        publisher, tail = self.open_channel("orphan")
        # Stopped, the consumer cannot notice the death and leave; the kernel still says that it lives.
        tail.send_signal(19)
        publisher.kill()
        publisher.wait()
        [channel] = self.list_channels()
        self.assertEqual((channel["producer"], channel["consumers"]), ("dead", 1))
        tail.send_signal(18)
        self.assertEqual(self.finish(tail)[0], 4)


if __name__ == "__main__":
    unittest.main()
