"""`pylabhub describe` and `stats`, on a channel of this host with no broker."""

import json
import os
import subprocess
import unittest

from tests.client.cli.flowing import SCHEMA, FlowingTest


class DescribeTest(FlowingTest):
    def test_a_channel_is_described_with_its_schema_ends_and_counters(self):
        publisher = self.flow("described", "--capacity", "8", consumers="1")
        tail = self.start("tail", "described", "--wait", "30s", bufsize=0)
        self.send(publisher, 21.5, 22)
        tail.stdout.readline()
        tail.stdout.readline()
        seen = self.await_slots("described", 2)
        self.assertEqual((seen["producer"], seen["producer_pid"]), ("alive", publisher.pid))
        self.assertEqual(seen["host"], os.uname().nodename)
        self.assertEqual((seen["policy"], seen["capacity_slots"], seen["slot_bytes"]), ("sync_reader", 8, 24))
        self.assertEqual((seen["committed_slots"], seen["committed_bytes"]), (2, 48))
        self.assertEqual(seen["schema"], "Reading")
        self.assertEqual(seen["fields"][0], {
            "name": "celsius", "type": "float64", "count": 1, "offset_bytes": 0, "unit": "Cel"})
        [consumer] = seen["consumers"]
        self.assertEqual((consumer["pid"], consumer["alive"], consumer["received_slots"]), (tail.pid, True, 2))
        code, output, errors = self.run_tool("describe", "described")
        self.assertEqual((code, errors), (0, ""))
        for wanted in ("Reading, 24 B a record", "celsius", "Cel", "sync_reader", f"process {publisher.pid} on",
                       "CONSUMER", str(tail.pid)):
            self.assertIn(wanted, output.decode())
        self.end(publisher)
        self.finish(tail)

    def test_its_schema_alone_is_what_publish_takes(self):
        publisher = self.flow("schemed")
        self.await_slots("schemed", 0)
        code, output, _ = self.run_tool("describe", "schemed", "--schema")
        self.assertEqual((code, output.decode()), (0, SCHEMA))
        self.end(publisher)

    def test_no_such_channel_is_exit_code_3(self):
        for verb in ("describe", "stats"):
            code, _, errors = self.run_tool(verb, "absent")
            self.assertEqual(code, 3)
            self.assertIn("absent", errors)


class StatsTest(FlowingTest):
    def test_rates_are_told_once_over_an_interval(self):
        publisher = self.flow("counted")
        self.send(publisher, 1, 2, 3)
        self.await_slots("counted", 3)
        code, output, errors = self.run_tool("stats", "counted", "--interval", "20ms", "--output", "json")
        self.assertEqual((code, errors), (0, ""))
        [line] = [json.loads(line) for line in output.splitlines()]
        self.assertEqual((line["channel"], line["committed_slots"], line["slots_per_second"]), ("counted", 3, 0))
        self.assertGreaterEqual(line["interval_ns"], 20_000_000)
        self.end(publisher)

    def test_what_comes_between_two_looks_is_a_rate(self):
        publisher = self.flow("counted")
        self.await_slots("counted", 0)
        stats = self.start("stats", "counted", "--every", "50ms", "--output", "json", bufsize=0)
        first = json.loads(stats.stdout.readline())
        self.assertEqual(first["committed_slots"], 0)
        self.send(publisher, *range(10))
        lines = [first]
        while lines[-1]["committed_slots"] < 10:
            lines.append(json.loads(stats.stdout.readline()))
        total = sum(line["slots_per_second"] * line["interval_ns"] / 1e9 for line in lines)
        self.assertAlmostEqual(total, 10, places=3)
        stats.terminate()
        self.assertEqual(self.finish(stats)[0], 130)
        self.end(publisher)

    def test_several_channels_are_rows_of_one_table(self):
        publishers = [self.flow(name) for name in ("one", "two")]
        for name in ("one", "two"):
            self.await_slots(name, 0)
        code, output, _ = self.run_tool("stats", "one", "two", "--every", "10ms", "--count", "2")
        self.assertEqual(code, 0)
        firsts = [line.split()[0] for line in output.decode().splitlines()]
        self.assertEqual(firsts, ["CHANNEL", "one", "two"] * 2)
        for publisher in publishers:
            self.end(publisher)

    def test_looking_is_no_consumer(self):
        publisher = self.flow("quiet", consumers="1")
        self.until(lambda: self.describe("quiet"), lambda seen: "error" not in seen)
        for _ in range(3):
            self.assertEqual(self.describe("quiet")["consumers"], [])
            self.assertEqual(self.run_tool("stats", "quiet", "--interval", "1ms")[0], 0)
        tail = self.start("tail", "quiet", "--output", "json", bufsize=0)
        self.send(publisher, 5)
        self.assertEqual(json.loads(tail.stdout.readline())["sequence"], 0)
        self.end(publisher)
        self.finish(tail)


if __name__ == "__main__":
    unittest.main()
