"""The reading end of a channel."""

import asyncio
import concurrent.futures

import numpy as np

from pylabhub import _pylabhub
from pylabhub.errors import ProducerClosed, Timeout
from pylabhub.schema import Schema, schema_of

__all__ = ["Consumer"]


class Consumer(_pylabhub.Consumer):
    """Attaches to a channel, and shows its slots as read-only arrays.

        with pylabhub.consumer("sensor.temperature", timeout=5) as consumer:
            for slot in consumer:
                print(slot.sequence, slot.data["celsius"])

    One slot is held at a time: to receive the next is to release the one before. What still refers to its array then keeps
    its bytes, as a private copy.

    A consumer belongs to one thread at a time. See ``pylabhub.consumer`` for the arguments.
    """

    def __init__(self, channel, dtype=None, *, timeout=5.0, follow=False, order=None, group=None, start="newest",
                 when_slow="block", patience=1.0, zone=None, spin=10e-6, directory="/dev/shm", link=None):
        expected = None if dtype is None else schema_of(dtype)
        expected_zone = None if zone is None else schema_of(zone)
        super().__init__(
            link=link, channel=channel, timeout=timeout, follow=follow, order=order or "", group=group, start=start,
            when_slow=when_slow, patience=patience,
            expected_schema_text=None if expected is None else expected.text,
            expected_zone_schema_text=None if expected_zone is None else expected_zone.text,
            spin=spin, directory=directory)
        self._schema = expected or Schema(self.schema_text)
        self._zone_schema = expected_zone or Schema(self.zone_schema_text)
        self._set_dtypes(self._schema.dtype, self._zone_schema.dtype)
        self._waiter = None

    @property
    def schema(self) -> Schema:
        """What the slots mean."""
        return self._schema

    @property
    def dtype(self) -> np.dtype:
        """The dtype of one record; uint8 for plain bytes."""
        return self._schema.dtype

    @property
    def zone_schema(self) -> Schema:
        """What the zone means."""
        return self._zone_schema

    def slots(self, timeout=None):
        """Yields slots until the producer closes the channel; raises Timeout if none comes for ``timeout`` seconds."""
        while True:
            try:
                slot = self.receive(timeout)
            except ProducerClosed:
                return
            yield slot
            del slot

    def __iter__(self):
        return self.slots()

    async def receive_async(self, timeout=None):
        """As ``receive``, without holding up the event loop: a thread of the consumer's own waits."""
        slot = self.poll()
        if slot is not None:
            return slot
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        if self._waiter is None:
            self._waiter = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="pylabhub")
        while slot is None:
            left = None if deadline is None else deadline - loop.time()
            if left is not None and left <= 0:
                raise Timeout(f"channel '{self.channel}': nothing happened before the deadline")
            await self._wait_in_thread(loop, left)
            slot = self.poll()
        return slot

    async def _wait_in_thread(self, loop, timeout):
        waiting = loop.run_in_executor(self._waiter, self._wait, timeout)
        try:
            await asyncio.shield(waiting)
        except asyncio.CancelledError:
            # The thread leaves the consumer alone before anybody else may use it.
            self._wake()
            await asyncio.wait([waiting])
            raise

    async def slots_async(self, timeout=None):
        """As ``slots``, for ``async for``."""
        while True:
            try:
                slot = await self.receive_async(timeout)
            except ProducerClosed:
                return
            yield slot
            del slot

    def __aiter__(self):
        return self.slots_async()

    def close(self):
        """Releases what is held, and leaves the channel. May be called from any thread."""
        super().close()
        if self._waiter is not None:
            self._waiter.shutdown(wait=False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.close()

    def __repr__(self):
        return f"<Consumer of {self.channel}{', closed' if self.closed else ''}>"
