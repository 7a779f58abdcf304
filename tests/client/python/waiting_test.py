"""Waiting: with other threads, with asyncio, with Ctrl-C, with fork, and with producers that go away."""

import asyncio
import os
import signal
import threading
import unittest

import pylabhub
from lab import PATIENCE_S, Peer, channel_name


class WaitingTest(unittest.TestCase):
    def setUp(self):
        self.name = channel_name("waiting")
        self.producer = self.enterContext(pylabhub.producer(self.name, "u8"))
        self.consumer = self.enterContext(pylabhub.consumer(self.name))

    def write_when(self, event, *numbers):
        def run():
            event.wait(PATIENCE_S)
            for number in numbers:
                self.producer.write(number)

        thread = threading.Thread(target=run)
        thread.start()
        self.addCleanup(thread.join)

    def test_other_threads_run_while_one_waits(self):
        counted = 0
        go_on = threading.Event()

        def count():
            nonlocal counted
            while counted < 100_000:
                counted += 1
            go_on.set()

        thread = threading.Thread(target=count)
        self.write_when(go_on, 42)
        thread.start()
        # Without a timeout: the slot comes only once the other thread has counted.
        self.assertEqual(self.consumer.read().tolist(), [42])
        thread.join()
        self.assertEqual(counted, 100_000)

    def test_a_timeout_is_a_python_timeout_too(self):
        for error in (pylabhub.Timeout, TimeoutError, pylabhub.PylabhubError):
            with self.assertRaises(error):
                self.consumer.receive(0.01)

    def test_a_second_thread_is_refused_while_the_first_waits(self):
        failures = []

        def wait():
            try:
                self.consumer.receive()
            except pylabhub.HandleClosed as error:
                failures.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        with self.assertRaises(pylabhub.HandleBusy):
            while True:
                self.consumer.poll()
        # close() may come from any thread, and ends the wait.
        self.consumer.close()
        thread.join(PATIENCE_S)
        self.assertEqual(len(failures), 1)
        self.assertTrue(self.consumer.closed)

    def test_a_handler_of_a_signal_runs_while_a_call_waits_and_may_raise(self):
        with Peer.python("""
            import sys, pylabhub
            with pylabhub.producer(sys.argv[1], "u8") as producer, pylabhub.consumer(sys.argv[1]) as consumer:
                try:
                    print("ready")
                    consumer.receive()
                except KeyboardInterrupt:
                    print("interrupted")
                producer.write(1)
                print(int(consumer.read(1)[0]))
            """, channel_name("signal")) as peer:
            self.assertEqual(peer.hear(), "ready")
            peer.interrupt()
            self.assertEqual(peer.hear(), "interrupted")
            self.assertEqual(peer.hear(), "1")
            self.assertEqual(peer.finish(), 0)

    def test_waiting_for_a_channel_can_be_interrupted_too(self):
        with Peer.python("""
            import sys, pylabhub
            try:
                print("ready")
                pylabhub.consumer(sys.argv[1], timeout=None)
            except KeyboardInterrupt:
                print("interrupted")
            """, channel_name("nobody")) as peer:
            self.assertEqual(peer.hear(), "ready")
            peer.interrupt()
            self.assertEqual(peer.hear(), "interrupted")

    def test_iteration_ends_when_the_producer_closes_the_channel(self):
        for number in range(5):
            self.producer.write(number)
        self.producer.close()
        self.assertEqual([int(slot.data[0]) for slot in self.consumer], list(range(5)))
        with self.assertRaises(pylabhub.ProducerClosed):
            self.consumer.receive()

    def test_a_producer_that_was_killed_is_told_from_one_that_closed(self):
        name = channel_name("killed")
        with Peer.python("""
            import sys, pylabhub
            producer = pylabhub.producer(sys.argv[1], "u8", min_consumers=1)
            print("ready")
            producer.write(7)
            print("written")
            sys.stdin.read()
            """, name) as peer:
            self.assertEqual(peer.hear(), "ready")
            consumer = self.enterContext(pylabhub.consumer(name))
            self.assertEqual(peer.hear(), "written")
            peer.kill()
            self.assertEqual(int(consumer.read(PATIENCE_S)[0]), 7)
            with self.assertRaises(pylabhub.ProducerDead) as caught:
                consumer.receive(PATIENCE_S)
            self.assertIsInstance(caught.exception, pylabhub.ProducerGone)
            # Its successor goes on where it left off.
            successor = self.enterContext(pylabhub.producer(name, "u8"))
            consumer.follow(PATIENCE_S)
            successor.write(8)
            self.assertEqual(int(consumer.read(1)[0]), 8)

    def test_a_consumer_that_follows_goes_on_by_itself(self):
        consumer = self.enterContext(pylabhub.consumer(self.name, follow=True))
        self.producer.write(1)
        self.producer.close()
        self.assertEqual(int(consumer.read(1)[0]), 1)
        with self.assertRaises(pylabhub.Timeout):
            consumer.receive(0.05)
        with pylabhub.producer(self.name, "u8") as successor:
            successor.write(2)
            self.assertEqual(int(consumer.read(PATIENCE_S)[0]), 2)

    def test_a_child_of_fork_has_no_channel(self):
        self.producer.write(5)
        slot = self.consumer.receive(1)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                self.consumer.receive(0)
            except pylabhub.ForkedHandle:
                try:
                    self.producer.write(6)
                except pylabhub.ForkedHandle:
                    os.write(writer, b"forked")
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as answer:
            self.assertEqual(answer.read(), b"forked")
        os.waitpid(child, 0)
        self.assertEqual(int(slot.data[0]), 5)
        self.producer.write(7)
        self.assertEqual(int(self.consumer.read(1)[0]), 7)


class AsyncioTest(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        self.name = channel_name("asyncio")
        self.producer = self.enterContext(pylabhub.producer(self.name, "u8"))
        self.producer_capacity = self.producer.capacity
        self.consumer = self.enterContext(pylabhub.consumer(self.name))

    async def test_slots_come_while_other_tasks_run(self):
        async def produce():
            for number in range(100):
                await self.producer.write_async(number)
            self.producer.close()

        task = asyncio.create_task(produce())
        received = [int(slot.data[0]) async for slot in self.consumer]
        await task
        self.assertEqual(received, list(range(100)))

    async def test_a_wait_that_is_cancelled_leaves_the_consumer_usable(self):
        waiting = asyncio.create_task(self.consumer.receive_async())
        with self.assertRaises(pylabhub.HandleBusy):
            while True:
                await asyncio.sleep(0)
                self.consumer.poll()
        waiting.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await waiting
        self.producer.write(3)
        self.assertEqual(int((await self.consumer.receive_async(1)).data[0]), 3)

    async def test_a_timeout_is_told(self):
        with self.assertRaises(pylabhub.Timeout):
            await self.consumer.receive_async(0.01)

    async def fill(self):
        for number in range(self.producer.capacity):
            await self.producer.write_async(number, 0)

    async def test_a_writer_that_waits_for_room_does_not_hold_up_the_reader_that_makes_it(self):
        await self.fill()
        with self.assertRaises(pylabhub.Timeout):
            await self.producer.write_async(1, 0)
        with self.assertRaises(pylabhub.Timeout):
            await self.producer.write_async(1, 0.01)
        writing = asyncio.create_task(self.producer.write_async(99))
        with self.assertRaises(pylabhub.HandleBusy):
            while True:
                await asyncio.sleep(0)
                _ = self.producer.next_sequence
        received = [int((await self.consumer.receive_async(1)).data[0]) for _ in range(self.producer_capacity + 1)]
        self.assertEqual(await writing, self.producer_capacity)
        self.assertEqual(received, [*range(self.producer_capacity), 99])

    async def test_a_write_that_is_cancelled_leaves_the_producer_usable(self):
        await self.fill()
        writing = asyncio.create_task(self.producer.write_async(1))
        await asyncio.sleep(0)
        writing.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await writing
        self.assertEqual(int(self.consumer.read(1)[0]), 0)
        self.assertEqual(int(self.consumer.read(1)[0]), 1)
        self.assertEqual(self.producer.write(2, 1), self.producer_capacity)

    async def test_many_consumers_wait_in_one_loop(self):
        consumers = [self.enterContext(pylabhub.consumer(self.name)) for _ in range(8)]
        waits = [asyncio.create_task(consumer.receive_async()) for consumer in consumers]
        await asyncio.sleep(0)
        self.producer.write(9)
        slots = await asyncio.gather(*waits)
        self.assertEqual([int(slot.data[0]) for slot in slots], [9] * 8)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    unittest.main()
