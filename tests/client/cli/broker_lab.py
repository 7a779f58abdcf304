"""A real broker with the certificates of a lab, for tests of the tool."""

import os
import shutil
import subprocess
import tempfile

BROKER = os.path.abspath("broker/pylabhub-broker")


def end(broker):
    broker.kill()
    broker.communicate()


def start(test, *options):
    """A broker that ends with the test, and nothing of it stays; returns the flags that name it to the tool."""
    # Not in a folder of Bazel's: the path of a Unix socket has room for 107 bytes.
    folder = tempfile.mkdtemp(prefix="pylabhub-lab-", dir="/tmp")
    test.addCleanup(shutil.rmtree, folder)  # once the broker has ended
    certs = os.path.join(folder, "certs")
    code, _, errors = test.run_tool("certs", "init", certs)
    test.assertEqual(code, 0, errors)
    broker = subprocess.Popen(
        [BROKER, "--port=0", "--store=none", "--state-dir=" + folder, "--ca=" + certs + "/ca.pem",
         "--server-cert=" + certs + "/server.pem", "--server-key=" + certs + "/server.key", *options],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    test.addCleanup(end, broker)
    line = broker.stdout.readline().decode()
    test.assertIn("listening on", line)
    return ["--broker", line.split()[-1].replace("0.0.0.0", "localhost"), "--certs", certs]
