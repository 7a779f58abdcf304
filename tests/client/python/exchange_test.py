"""Python and C++ on one channel, in two processes, with a broker and without."""

import json
import os
import subprocess
import unittest

import numpy as np

import pylabhub
from lab import PATIENCE_S, Broker, Peer, channel_name, wait_until

SLOT_BYTES = 4_096  # channel_peer's


def stamp(number, slot_bytes=SLOT_BYTES):
    """What tests/support/stamped_slots.cc writes to slot `number`."""
    words = np.arange(slot_bytes // 8, dtype="u8")
    return words + np.uint64((number + 1) * 0x9E3779B97F4A7C15 % 2**64)


class ExchangeTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.broker = Broker()
        cls.addClassCleanup(cls.broker.close)

    def with_and_without_broker(self, test):
        """Calls `test` with a session, and with what to say to a peer for one of the same kind."""
        for arguments, address in [([], None), ([self.broker.address, self.broker.certificates], self.broker.address)]:
            with self.subTest(broker=bool(arguments)):
                with pylabhub.connect(address, certificates=self.broker.certificates) as session:
                    self.assertEqual(session.has_broker, bool(arguments))
                    test(session, arguments)

    def test_cpp_writes_and_python_reads(self):
        def test(session, arguments):
            name = channel_name("from_cpp")
            with Peer("tests/e2e/channel_peer", "producer", "/dev/shm", name, *arguments) as peer:
                self.assertEqual(peer.hear(), "ready")
                consumer = session.consumer(name, timeout=PATIENCE_S)
                peer.say("write 100")
                for number in range(100):
                    slot = consumer.receive(PATIENCE_S)
                    self.assertEqual((slot.sequence, slot.missed), (number, 0))
                    self.assertTrue((slot.data.view("u8") == stamp(number)).all())
                self.assertEqual(peer.hear(), "wrote 100 ok")

        self.with_and_without_broker(test)

    def test_python_writes_and_cpp_reads(self):
        def test(session, arguments):
            name = channel_name("to_cpp")
            producer = session.producer(name, slot_bytes=SLOT_BYTES, capacity=16, min_consumers=1)
            with Peer("tests/e2e/channel_peer", "consumer", "/dev/shm", name, *arguments) as peer:
                self.assertEqual(peer.hear(), "ready")
                peer.say("read 100")
                for number in range(0, 100, 2):
                    producer.write(stamp(number).view("u1"))
                    with producer.slot() as array:
                        array.view("u8")[:] = stamp(number + 1)
                self.assertEqual(peer.hear(), "read 100")

        self.with_and_without_broker(test)

    def test_the_structs_of_cpp_are_arrays_with_units_here(self):
        name = channel_name("host")
        with subprocess.Popen(["client/examples/host_sampler", "--channel", name, "--rate", "100", "--seconds", "1",
                               "--consumers", "1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            with pylabhub.consumer(name, timeout=PATIENCE_S) as consumer:
                self.assertEqual(consumer.schema.units["cpu_busy_ns"], "ns")
                self.assertEqual(consumer.dtype["number"], np.dtype("u8"))
                numbers = [int(slot.data["number"][0]) for slot in consumer]
        self.assertEqual(numbers, list(range(len(numbers))))
        self.assertGreater(len(numbers), 50)

    def test_the_tool_decodes_what_python_writes(self):
        name = channel_name("tool")
        dtype = [("celsius", "f8"), ("at", [("x", "i4"), ("y", "i4")])]
        with pylabhub.producer(name, dtype, units={"celsius": "Cel"}, min_consumers=1) as producer:
            with subprocess.Popen(["client/cli/pylabhub", "tail", name, "--count", "1", "--output", "json", "--wait",
                                   "30s"], stdout=subprocess.PIPE, text=True) as tail:
                producer.write((21.5, (3, 4)), timeout=PATIENCE_S)
                line = json.loads(tail.stdout.readline())
        text = json.dumps(line)
        self.assertIn("21.5", text)
        self.assertIn('"at.y": 4', text)

    def test_a_channel_is_discovered_and_listed(self):
        def test(session, arguments):
            name = channel_name("discovered")
            with self.assertRaises(pylabhub.ChannelNotFound):
                session.discover(name, 0)
            with session.producer(name, "f8", units={"value": "V"}):
                found = session.discover(name, PATIENCE_S)
                self.assertEqual((found.name, found.state), (name, "ready"))
                self.assertEqual(found.schema.units, {"value": "V"})
                self.assertEqual(found.epoch > 0, bool(arguments))
                self.assertEqual(found.pid, os.getpid())
                self.assertIn(name, [channel.name for channel in session.channels("test.python.")])
            # The broker is told, not waited for.
            wait_until(lambda: name not in [c.name for c in session.channels("test.python.") if c.state == "ready"],
                       "the closed channel is listed no longer")

        self.with_and_without_broker(test)

    def test_another_schema_is_refused_and_the_difference_told(self):
        def test(session, _):
            name = channel_name("mismatch")
            producer = session.producer(name, [("celsius", "f8")], units={"celsius": "Cel"})
            with self.assertRaisesRegex(pylabhub.SchemaMismatch, "SCHEMA_MISMATCH|schema"):
                session.consumer(name, [("celsius", "f4")])
            self.assertEqual(session.consumer(name, producer.schema).schema, producer.schema)

        self.with_and_without_broker(test)

    def test_a_channel_that_has_a_producer_is_held(self):
        def test(session, _):
            name = channel_name("held")
            producer = session.producer(name, "u1")
            with self.assertRaisesRegex(pylabhub.ChannelHeld, name):
                session.producer(name, "u1")
            producer.write(1)

        self.with_and_without_broker(test)

    def test_a_missing_channel_is_told_after_the_timeout(self):
        def test(session, _):
            with self.assertRaises(LookupError):
                session.consumer(channel_name("missing"), timeout=0.1)

        self.with_and_without_broker(test)

    def test_what_a_session_made_is_closed_with_it(self):
        session = pylabhub.connect(self.broker.address, certificates=self.broker.certificates)
        name = channel_name("closed")
        with session:
            producer = session.producer(name, "u1")
            consumer = session.consumer(name)
        self.assertTrue(producer.closed and consumer.closed)
        for call in (lambda: producer.write(1), lambda: consumer.receive(0), lambda: session.discover(name)):
            with self.assertRaises(pylabhub.HandleClosed):
                call()

    def test_a_broker_that_is_not_there_or_not_ours_is_an_error_that_says_so(self):
        with self.assertRaisesRegex(pylabhub.BrokerUnavailable, "localhost:1"):
            pylabhub.connect("localhost:1", certificates=self.broker.certificates)
        with self.assertRaisesRegex(pylabhub.PylabhubError, "no_such_folder"):
            pylabhub.connect(self.broker.address, certificates="no_such_folder")

    def test_a_child_of_fork_leaves_the_broker_alone(self):
        with pylabhub.connect(self.broker.address, certificates=self.broker.certificates) as session:
            name = channel_name("fork")
            producer = session.producer(name, "u1")
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    session.discover(name)
                except pylabhub.ForkedHandle:
                    session.close()
                    code = 0
                os._exit(code)
            self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
            self.assertEqual(session.discover(name, strong=True).state, "ready")
            producer.write(1)


if __name__ == "__main__":
    unittest.main()
