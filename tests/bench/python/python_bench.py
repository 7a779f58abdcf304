"""Channels from Python beside the same channels from C++, interleaved in one run.

    tests/bench/run.sh --suite python [--rounds N] [--seconds S] [--check]

A round measures C++ (cpp_side.cc) and then Python, each in two processes on a core each. Both copy a message of their own into
each slot, and each slot into memory of their own, by the same memcpy. The table shows medians over the rounds; a ratio is the
median of the rounds' own. --check: exit status 1 if a target is missed.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

import numpy as np

import pylabhub

STREAM_WORDS = 64 * 1024 // 8
STREAM_CAPACITY = 16
LAST = 2**64 - 1
PATIENCE_S = 20.0
SPINS = {"spin": "always", "adaptive": "10"}  # microseconds that a wait looks before it sleeps


def pour(channel, seconds):
    """Copies a message into every slot until the time is up."""
    message = np.zeros(STREAM_WORDS, "u8")
    with pylabhub.producer(channel, "u8", records=STREAM_WORDS, capacity=STREAM_CAPACITY, min_consumers=1,
                           spin=None) as producer:
        sequence, last = 0, False
        while not last:
            if sequence == 1:
                end = time.perf_counter() + seconds
            last = sequence > 1 and sequence % 64 == 0 and time.perf_counter() >= end
            message[0] = LAST if last else sequence
            producer.write(message, PATIENCE_S)
            sequence += 1


def drink(channel, seconds):
    """Copies every slot out, and prints GB/s."""
    message = np.zeros(STREAM_WORDS, "u8")
    counted_from = sequence = 0
    with pylabhub.consumer(channel, timeout=PATIENCE_S, spin=None) as consumer:
        while True:
            consumer.read(PATIENCE_S, message)
            if message[0] != sequence:
                break
            if not counted_from and sequence % 64 == 0:
                start = start if sequence else time.perf_counter()
                if time.perf_counter() - start >= seconds / 10:
                    counted_from, start = sequence, time.perf_counter()
            sequence += 1
        took = time.perf_counter() - start
    if message[0] != LAST:
        raise AssertionError(f"message {sequence} is another one")
    print((sequence - counted_from) * message.nbytes / took / 1e9)


def answer(channel, spin):
    """Writes each message back."""
    with pylabhub.producer(channel + ".back", "u8", records=8, min_consumers=1, spin=spin) as back:
        with pylabhub.consumer(channel, timeout=PATIENCE_S, spin=spin) as there:
            for slot in there.slots(PATIENCE_S):
                back.write(slot.data)


def ask(channel, seconds, spin):
    """Prints the median of round trips, in ns."""
    message = np.zeros(8, "u8")
    clock = time.perf_counter_ns
    trips = []
    with pylabhub.producer(channel, "u8", records=8, min_consumers=1, spin=spin) as there:
        with pylabhub.consumer(channel + ".back", timeout=PATIENCE_S, spin=spin) as back:
            before = clock()
            end = before + int(seconds * 1e9)
            while before < end:
                there.write(message)
                if back.receive(PATIENCE_S).data[0] != message[0]:
                    raise AssertionError("another message came back")
                after = clock()
                trips.append(after - before)
                before = after
                message[0] += np.uint64(1)
    print(statistics.median(trips[len(trips) // 10:]))


def run_role(role, channel, *rest):
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[(0 if role in ("drink", "ask") else 1) % len(cores)]})
    spin = None if rest[-1] == "always" else float(rest[-1]) * 1e-6
    if role == "pour":
        pour(channel, float(rest[0]))
    elif role == "drink":
        drink(channel, float(rest[0]))
    elif role == "answer":
        answer(channel, spin)
    else:
        ask(channel, float(rest[0]), spin)


def pair(side, other, measuring):
    """What the measuring process of two prints; `side` is the command that both begin with."""
    with subprocess.Popen([*side, *other]) as process:
        figure = subprocess.run([*side, *measuring], check=True, stdout=subprocess.PIPE, text=True).stdout
        if process.wait() != 0:
            raise AssertionError(f"{other[0]} failed")
    return float(figure)


def measure(side, channel, seconds):
    stream = channel + ".stream"
    figures = {"stream.64KiB": pair(side, ["pour", stream, seconds], ["drink", stream, seconds])}
    for waiting, spin in SPINS.items():
        trip = f"{channel}.{waiting}"
        figures[f"rtt.64B.{waiting}"] = pair(side, ["answer", trip, spin], ["ask", trip, seconds, spin]) / 1000
    return figures


def report(cpp, python):
    """Prints the table; whether every target is reached."""
    print(f"{'bench':<18}{'C++':>12}{'Python':>12}  ratio: median (lowest to highest)")
    ratios = {}
    for bench in cpp[0]:
        rounds = sorted(p[bench] / c[bench] for p, c in zip(python, cpp))
        ratios[bench] = statistics.median(rounds)
        unit = "GB/s" if bench.startswith("stream") else "us"
        values = [f"{statistics.median(side[bench] for side in sides):.2f} {unit}" for sides in (cpp, python)]
        print(f"{bench:<18}{values[0]:>12}{values[1]:>12}  {ratios[bench]:.2f} ({rounds[0]:.2f} to {rounds[-1]:.2f})")
    trip_us = statistics.median(side["rtt.64B.adaptive"] for side in python)
    targets = [("stream.64KiB >= 0.8 x C++", ratios["stream.64KiB"] >= 0.8),
               ("rtt.64B.adaptive <= 20 us", trip_us <= 20)]
    for target, reached in targets:
        print(f"target {target}: {'reached' if reached else 'missed'}")
    return all(reached for _, reached in targets)


def main():
    if sys.argv[1:2] == ["--role"]:
        run_role(*sys.argv[2:])
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpp", required=True, help="the program cpp_side")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.3, help="of each measurement")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--suite", choices=["python"], help=argparse.SUPPRESS)  # run.sh passes it on
    options = parser.parse_args()
    sides = {"cpp": [options.cpp], "python": [sys.executable, __file__, "--role"]}
    rounds = {"cpp": [], "python": []}
    for number in range(options.rounds):
        for name, side in sides.items():
            rounds[name].append(measure(side, f"bench.{name}.{os.getpid()}.{number}", str(options.seconds)))
    return 0 if report(**rounds) or not options.check else 1


if __name__ == "__main__":
    sys.exit(main())
