"""A channel of readings that flows for as long as a test wants it to."""

import json
import subprocess
import time

from tests.client.cli.tool import PATIENCE_S, ToolTest

SCHEMA = """pylabhub-schema 1
record Reading 24
field celsius float64 1 0 Cel
field count int32 1 8 
field position float32 2 12 mm
"""


class FlowingTest(ToolTest):
    def write_schema(self):
        path = self.scratch("reading.schema")
        with open(path, "w", encoding="utf-8") as file:
            file.write(SCHEMA)
        return path

    def flow(self, channel, *options, consumers="0"):
        """A publisher to which `send` gives readings; nobody need read them."""
        return self.start("publish", channel, "--format", "json", "--schema", self.write_schema(), "--consumers",
                          consumers, *options, stdin=subprocess.PIPE)

    def send(self, publisher, *celsius):
        for number, value in enumerate(celsius):
            line = {"celsius": value, "count": number, "position": [0.5, 1]}
            publisher.stdin.write(json.dumps(line).encode() + b"\n")
        publisher.stdin.flush()

    def until(self, look, wanted):
        """Looks again until what is seen is wanted."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            seen = look()
            if wanted(seen):
                return seen
            self.assertLess(time.monotonic(), deadline, seen)

    def describe(self, channel, *options):
        code, output, errors = self.run_tool("describe", channel, "--output", "json", *options)
        return json.loads(output) if code == 0 else {"error": errors}

    def await_slots(self, channel, slots):
        return self.until(lambda: self.describe(channel), lambda seen: seen.get("committed_slots", -1) >= slots)

    def end(self, publisher):
        code, _, errors = self.finish(publisher)
        self.assertEqual(code, 0, errors)
