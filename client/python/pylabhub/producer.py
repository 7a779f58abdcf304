"""The writing end of a channel."""

import numpy as np

from pylabhub import _pylabhub
from pylabhub.errors import InvalidArgument
from pylabhub.schema import Schema, schema_of

__all__ = ["Producer"]


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

    @property
    def schema(self) -> Schema:
        """What the slots mean."""
        return self._schema

    @property
    def dtype(self) -> np.dtype:
        """The dtype of one record; uint8 for plain bytes."""
        return self._schema.dtype

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __repr__(self):
        return f"<Producer of {self.channel}{', closed' if self.closed else ''}>"
