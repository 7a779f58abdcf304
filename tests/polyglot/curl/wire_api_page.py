"""Sends every request of docs/wire_api.md to a broker, in the page's order, as a shell would.

Usage: wire_api_page.py BUF HOST:PORT CERTIFICATES. The page's grpcurl is the program beside this one.
"""

import os
import pathlib
import re
import subprocess
import sys

buf, address, certificates = sys.argv[1:]
here = pathlib.Path(__file__).resolve().parent
page = (here / "../../../docs/wire_api.md").resolve().read_text()


def run(script):
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=certificates, capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "BUF": buf, "PATH": f"{here}:{os.environ['PATH']}"})


blocks = [block.replace("localhost:5570", address) for block in re.findall(r"```\n(.*?)```", page, re.S)
          if "grpcurl" in block]
sent = sum(len(re.findall("^grpcurl", block, re.M)) for block in blocks)
assert sent >= 15, f"only {sent} requests stand on the page"

[register] = [block for block in blocks if "Broker/Register " in block]
script = "".join(
    # What an administrator closes must be there.
    f"{register if 'CloseChannel' in block else ''}{block}" for block in blocks)
done = run(script)
if done.returncode != 0:
    sys.exit(f"{done.stdout}{done.stderr}the page's requests failed, the last one with {done.returncode}")
for answer in ("CHANNEL_STATE_READY", "SERVING", '"callerIdentity"', '"known": true', '"consumerCount": 1', "SchemaRegistry",
               "COMPATIBILITY_IDENTICAL", "SNAPSHOT_COMPLETE", "CLOSED_BY_ADMIN"):
    assert answer in done.stdout, f"no answer has {answer}:\n{done.stdout}"

# Nobody gets in without a certificate.
assert run(f"grpcurl -cacert ca.pem {address} pylabhub.v1.Broker/GetBrokerInfo").returncode != 0

print(f"{sent} requests answered")
print("curl ok")
