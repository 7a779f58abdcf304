"""Producers, recorders and replays as real processes, for the tests of `pylabhub record` and `replay`."""

import json
import os
import signal
import subprocess
import tempfile
import time

from tests.client.cli.tool import PATIENCE_S, ToolTest

PUBLISHER = os.path.abspath("tests/client/recording/sample_publisher")
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
