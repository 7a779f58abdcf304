"""Runs the real `pylabhub` in a folder of shared memory of its own, which must be empty when the test ends."""

import os
import shutil
import subprocess
import tempfile
import unittest

TOOL = os.path.abspath("client/cli/pylabhub")

# Only a bound on how long a broken test takes; nothing waits for it to pass.
PATIENCE_S = 60


# Verbs that have nothing to do with channels in shared memory.
WITHOUT_DIRECTORY = ("certs", "completion", "policy", "profile", "schema", "tls", "watch")


class ToolTest(unittest.TestCase):
    def setUp(self):
        # A tmpfs: where channels live. Made under /dev/shm, but with a name of its own.
        self.directory = tempfile.mkdtemp(prefix="pylabhub-test-", dir="/dev/shm")
        self.addCleanup(self._check_that_nothing_is_left)
        # A broker of the caller's must not be asked.
        for name in ("PYLABHUB_BROKER", "PYLABHUB_CERTS", "PYLABHUB_DIRECTORY", "PYLABHUB_PROFILE"):
            os.environ.pop(name, None)
        # Nor a profile of the caller's taken.
        self.config = tempfile.mkdtemp(prefix="pylabhub-config-", dir=os.environ.get("TEST_TMPDIR"))
        self.addCleanup(shutil.rmtree, self.config)
        os.environ["XDG_CONFIG_HOME"] = self.config
        self.processes = []
        self.addCleanup(self._end_processes)

    def scratch(self, name):
        """A path for a file of the test's own, which goes with it."""
        return os.path.join(self.config, name)

    def start(self, verb, *arguments, with_directory=True, **options):
        """Starts a verb of the tool, with pipes for its output."""
        has_directory = with_directory and verb not in WITHOUT_DIRECTORY
        process = subprocess.Popen(
            [TOOL, verb, *arguments] + (["--directory", self.directory] if has_directory else []),
            stdin=options.pop("stdin", subprocess.DEVNULL), stdout=options.pop("stdout", subprocess.PIPE),
            stderr=subprocess.PIPE, **options)
        self.processes.append(process)
        return process

    def finish(self, process):
        """Waits for its end; returns (exit code, standard output, standard error as text)."""
        output, errors = process.communicate(timeout=PATIENCE_S)
        return process.returncode, output, errors.decode()

    def run_tool(self, verb, *arguments, **options):
        return self.finish(self.start(verb, *arguments, **options))

    def _end_processes(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def _check_that_nothing_is_left(self):
        left = os.listdir(self.directory)
        for name in left:
            os.unlink(os.path.join(self.directory, name))
        os.rmdir(self.directory)
        self.assertEqual(left, [], "left in shared memory")
