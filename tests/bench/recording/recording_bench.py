"""How fast channels are recorded and replayed, beside dd writing the same bytes to the same folder.

    tests/bench/run.sh --suite record [--rounds N] [--folder DIR] [--mebibytes N]

Each round does all three, one after the other: `dd` writes the bytes in blocks of 1 MiB, `pylabhub record` records them in
slots of 1 MiB from a publisher in another process, `pylabhub replay --speed max` sends them to a consumer that throws them
away. Prints medians, and ratios to dd in the same round.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time

MEBIBYTE = 1 << 20


def dd(source, target):
    begin = time.monotonic()
    subprocess.run(["dd", f"if={source}", f"of={target}", "bs=1M", "status=none"], check=True)
    elapsed_s = time.monotonic() - begin
    os.unlink(target)
    return elapsed_s


def record(tool, source, target, directory):
    publisher = subprocess.Popen([tool, "publish", "bench", source, "--slot-bytes", "1MiB", "--directory", directory])
    summary = json.loads(subprocess.run(
        [tool, "record", target, "bench", "--wait", "30s", "--output", "json", "--directory", directory],
        check=True, stdout=subprocess.PIPE).stdout)
    assert publisher.wait() == 0
    return summary["elapsed_s"]


def replay(tool, source, directory):
    consumer = subprocess.Popen([tool, "tail", "bench", "--raw", "--wait", "30s", "--directory", directory],
                                stdout=subprocess.DEVNULL)
    summary = json.loads(subprocess.run(
        [tool, "replay", source, "--speed", "max", "--output", "json", "--directory", directory],
        check=True, stdout=subprocess.PIPE).stdout)
    assert consumer.wait() == 0
    return summary["elapsed_s"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tool", required=True)
    # run.sh passes on what it was given.
    parser.add_argument("--suite", help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", default="/dev/shm", help="where the files are written")
    parser.add_argument("--mebibytes", type=int, default=1024)
    options = parser.parse_args()
    times = {"dd": [], "record": [], "replay": []}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder, \
            tempfile.TemporaryDirectory(dir="/dev/shm") as shared:
        source = os.path.join(shared, "source")
        with open(source, "wb") as file:
            for _ in range(options.mebibytes):
                file.write(os.urandom(MEBIBYTE))
        recording = os.path.join(folder, "run.h5")
        for _ in range(options.rounds):
            times["dd"].append(dd(source, os.path.join(folder, "dd")))
            times["record"].append(record(options.tool, source, recording, shared))
            times["replay"].append(replay(options.tool, recording, shared))
            os.unlink(recording)
    for name, elapsed_s in times.items():
        ratios = [reference / own for reference, own in zip(times["dd"], elapsed_s)]
        print(f"{name:8} {options.mebibytes * MEBIBYTE / 1e6 / statistics.median(elapsed_s):8.0f} MB/s  "
              f"{statistics.median(ratios):5.2f} x dd ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
