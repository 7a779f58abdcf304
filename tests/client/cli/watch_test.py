"""`pylabhub watch`, `describe` and `stats` with a broker."""

import json
import unittest

from tests.client.cli import broker_lab
from tests.client.cli.flowing import FlowingTest


class WatchTest(FlowingTest):
    def setUp(self):
        super().setUp()
        self.broker = broker_lab.start(self)

    def watch(self, *options):
        return self.start("watch", *options, *self.broker, "--output", "json", bufsize=0)

    def named_flow(self, channel, **options):
        return self.flow(channel, *self.broker, "--memory", "named", **options)

    def test_a_channel_is_told_from_its_creation_to_its_end(self):
        before = self.named_flow("told.before")
        other = self.named_flow("other")
        for name in ("told.before", "other"):
            self.until(lambda: self.describe(name, *self.broker), lambda seen: seen.get("state") == "ready")
        watch = self.watch("told*")
        present = json.loads(watch.stdout.readline())
        self.assertEqual((present["event"], present["channel"]), ("present", "told.before"))
        publisher = self.named_flow("told", consumers="1")
        created = json.loads(watch.stdout.readline())
        self.assertEqual((created["event"], created["channel"], created["producer_pid"]),
                         ("created", "told", publisher.pid))
        tail = self.start("tail", "told", *self.broker, bufsize=0)
        joined = json.loads(watch.stdout.readline())
        self.assertEqual((joined["event"], joined["consumers"]), ("consumer_joined", 1))
        self.send(publisher, 1)
        tail.stdout.readline()
        self.end(publisher)
        self.finish(tail)
        events = []
        while "closed" not in events:
            events.append(json.loads(watch.stdout.readline())["event"])
        self.assertIn("closing", events)
        self.end(other)
        self.end(before)
        watch.terminate()
        self.assertEqual(self.finish(watch)[0], 130)

    def test_what_is_there_comes_first_and_another_producer_is_told_as_one(self):
        first = self.named_flow("there")
        self.until(lambda: self.describe("there", *self.broker), lambda seen: seen.get("state") == "ready")
        watch = self.watch()
        self.assertEqual(json.loads(watch.stdout.readline())["event"], "present")
        first.kill()
        first.wait()
        second = self.named_flow("there")
        while True:
            seen = json.loads(watch.stdout.readline())
            if seen["event"] == "replaced":
                break
        self.assertEqual(seen["producer_pid"], second.pid)
        watch.terminate()
        self.finish(watch)
        self.end(second)

    def test_describe_puts_the_brokers_entry_and_the_counters_together(self):
        publisher = self.named_flow("both")
        seen = self.until(lambda: self.describe("both", *self.broker), lambda seen: seen.get("state") == "ready")
        self.assertEqual((seen["producer_pid"], seen["memory"]), (publisher.pid, "named"))
        self.assertTrue(seen["producer_identity"])
        self.assertEqual((seen["schema"], seen["committed_slots"], seen["producer"]), ("Reading", 0, "alive"))
        code, output, errors = self.run_tool("describe", "both", *self.broker)
        self.assertEqual((code, errors), (0, ""))
        self.assertIn(f"ready, epoch {seen['epoch']},", output.decode())
        self.assertEqual(self.run_tool("stats", "both", "--interval", "1ms", *self.broker)[0], 0)
        self.assertIn(b"both", self.run_tool("top", "--batch", "-n", "1", "--every", "1ms", *self.broker)[1])
        self.assertEqual(self.run_tool("describe", "bot", *self.broker)[0], 3)
        self.end(publisher)

    def test_memory_that_is_handed_over_is_described_without_its_counters(self):
        publisher = self.flow("handed", *self.broker, "--memory", "handed-over")
        seen = self.until(lambda: self.describe("handed", *self.broker), lambda seen: seen.get("state") == "ready")
        self.assertEqual((seen["memory"], seen["schema"]), ("handed over", "Reading"))
        self.assertIn("the broker hands it", seen["no_counters"])
        code, _, errors = self.run_tool("stats", "handed", *self.broker)
        self.assertEqual(code, 1)
        self.assertIn("handed: its memory has no name", errors)
        top = ("top", "--batch", "-n", "1", "--every", "1ms", *self.broker)
        text = self.run_tool(*top)[1].decode()
        self.assertRegex(text, r"handed +ready +\d+ +- ")
        self.assertIn("\n-: handed: its memory has no name", text)
        seen = json.loads(self.run_tool(*top, "--output", "json")[1])
        self.assertEqual(seen["channel"], "handed")
        self.assertIn("the broker hands it", seen["no_counters"])
        self.end(publisher)

    def test_without_a_broker_and_with_a_pattern_that_nothing_matches_it_says_so(self):
        code, _, errors = self.run_tool("watch")
        self.assertEqual(code, 2)
        self.assertIn("--broker", errors)
        code, _, errors = self.run_tool("watch", "No Name", *self.broker)
        self.assertEqual(code, 2)
        self.assertIn("'No Name'", errors)

    def test_count_ends_it(self):
        publisher = self.named_flow("counted")
        code, output, _ = self.run_tool("watch", "--count", "1", *self.broker)
        self.assertEqual(code, 0)
        self.assertIn(b"counted", output)
        self.end(publisher)


if __name__ == "__main__":
    unittest.main()
