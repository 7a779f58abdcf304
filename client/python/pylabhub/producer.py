"""The writing end of a channel."""

import asyncio
import concurrent.futures

import numpy as np

from pylabhub import _pylabhub
from pylabhub.errors import InvalidArgument, Timeout
from pylabhub.schema import Schema, schema_of

__all__ = ["Producer"]

# How long a thread waits for room before it looks whether the task that it waits for was cancelled.
_SLICE_S = 0.05


class Producer(_pylabhub.Producer):
    """Creates a channel, and writes slots through numpy.

        with pylabhub.producer("sensor.temperature", [("celsius", "f8"), ("timestamp_ns", "i8")],
                               units={"celsius": "Cel", "timestamp_ns": "ns"}) as producer:
            producer.write((21.5, time.time_ns()))
            with producer.slot() as reading:
                reading["celsius"] = 21.6

    A producer belongs to one thread at a time. Closing it (or leaving its ``with`` block) closes the channel: consumers read
    what is left. See ``pylabhub.producer`` for the arguments.
    """

    def __init__(self, channel, dtype=None, *, units=None, record=None, records=1, slot_bytes=None, capacity=0,
                 policy="sync_reader", max_consumers=0, max_pins=0, min_consumers=0, checksum="none", groups=(),
                 max_patience=None, zone=None, zone_units=None, zone_bytes=0, spin=10e-6, directory="/dev/shm",
                 link=None):
        schema = schema_of(dtype, name=record, units=units)
        if slot_bytes is None:
            if schema.is_opaque:
                raise InvalidArgument("say slot_bytes, or a dtype and how many records a slot has room for")
            slot_bytes = schema.dtype.itemsize * records
        zone_schema = schema_of(zone, units=zone_units)
        super().__init__(
            link=link, dtype=schema.dtype, zone_dtype=zone_schema.dtype, channel=channel, schema_text=schema.text,
            policy=policy, capacity=capacity, slot_bytes=slot_bytes, max_consumers=max_consumers, max_pins=max_pins,
            min_consumers=min_consumers, checksum=checksum, groups=list(groups), max_patience=max_patience,
            zone_bytes=zone_bytes, zone_schema_text=zone_schema.text, spin=spin, directory=directory)
        self._schema = schema
        self._waiter = None

    @property
    def schema(self) -> Schema:
        """What the slots mean."""
        return self._schema

    @property
    def dtype(self) -> np.dtype:
        """The dtype of one record; uint8 for plain bytes."""
        return self._schema.dtype

    async def write_async(self, data, timeout=None, checksum=False):
        """As ``write``, without holding up the event loop: while consumers have to make room, a thread of the producer's own waits.

        ``data`` must not change until then. A task that is cancelled may have written its slot: ``next_sequence`` tells.
        """
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        try:
            return self.write(data, 0, checksum)
        except Timeout:
            if timeout is not None and timeout <= 0:
                raise
        if self._waiter is None:
            self._waiter = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="pylabhub")
        while True:
            left = _SLICE_S if deadline is None else max(deadline - loop.time(), 0)
            try:
                return await self._write_in_thread(loop, data, min(left, _SLICE_S), checksum)
            except Timeout:
                if deadline is not None and loop.time() >= deadline:
                    raise

    async def _write_in_thread(self, loop, data, timeout, checksum):
        writing = loop.run_in_executor(self._waiter, self.write, data, timeout, checksum)
        try:
            return await asyncio.shield(writing)
        except asyncio.CancelledError:
            # The thread leaves the producer alone before anybody else may use it; what became of the slot interests nobody.
            await asyncio.wait([writing])
            writing.exception()
            raise

    def close(self):
        """Closes the channel: consumers read what is left. May be called from any thread."""
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
        return f"<Producer of {self.channel}{', closed' if self.closed else ''}>"
