"""What the tests of the Python package share: channels of their own, and processes beside them."""

import faulthandler
import pathlib
import secrets
import signal
import subprocess
import sys
import tempfile
import textwrap
import time

PATIENCE_S = 60.0
# A test that takes too long is ended by this signal, and then says where it was.
faulthandler.register(signal.SIGTERM, chain=True)


def channel_name(kind):
    """A name that no other test has: random, for tests that run in sandboxes of their own have the same process numbers."""
    return f"test.python.{kind}.{secrets.token_hex(8)}"


def wait_until(condition, what):
    """Looks until `condition()`, which asks another process, is true; for what that one tells nobody of."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited in vain until {what}")


class Peer:
    """Another process, spoken to line by line."""

    def __init__(self, *command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    @classmethod
    def python(cls, script, *arguments):
        """This interpreter with a script of its own."""
        return cls(sys.executable, "-u", "-c", textwrap.dedent(script), *arguments)

    def say(self, line):
        self.process.stdin.write(line + "\n")

    def hear(self):
        return self.process.stdout.readline().rstrip("\n")

    def ask(self, line):
        self.say(line)
        return self.hear()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)

    def finish(self):
        """Ends its input, and waits for it; its exit code."""
        if not self.process.stdin.closed:
            self.process.stdin.close()
        code = self.process.wait(PATIENCE_S)
        self.process.stdout.close()
        return code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.finish()


class Broker:
    """A broker on a free port, with certificates of its own."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        root = pathlib.Path(self.folder.name)
        self.certificates = str(root / "certs")
        subprocess.run(["client/cli/pylabhub", "certs", "init", self.certificates], check=True,
                       stdout=subprocess.DEVNULL)
        certificates = root / "certs"
        self.process = subprocess.Popen(
            ["broker/pylabhub-broker", "--port", "0", "--ca", certificates / "ca.pem",
             "--server-cert", certificates / "server.pem", "--server-key", certificates / "server.key",
             "--state-dir", root / "state"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        # "listening on ADDRESS:PORT"
        self.address = f"localhost:{self.process.stdout.readline().rsplit(':', 1)[1].strip()}"

    def close(self):
        self.process.terminate()
        self.process.wait(PATIENCE_S)
        self.process.stdout.close()
        self.folder.cleanup()
