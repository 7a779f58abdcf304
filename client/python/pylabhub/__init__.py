"""Named, typed, secured shared-memory channels between processes, as numpy arrays.

    import pylabhub

    with pylabhub.producer("sensor.temperature", [("celsius", "f8")], units={"celsius": "Cel"}) as producer:
        producer.write((21.5,))

    with pylabhub.consumer("sensor.temperature", timeout=5) as consumer:
        for slot in consumer:
            print(slot.sequence, slot.data["celsius"])

With a broker: ``with pylabhub.connect("localhost:5570", certificates="certs") as lab: lab.producer(...)``.
docs/python.md is the tutorial.
"""

from pylabhub.consumer import Consumer
from pylabhub.errors import *  # noqa: F401,F403 the exceptions are the package's
from pylabhub.errors import __all__ as _errors
from pylabhub.producer import Producer
from pylabhub.schema import Schema
from pylabhub.session import Channel, Session, connect
from pylabhub._pylabhub import ReadSlot, WriteSlot

__version__ = "0.1.0"

__all__ = [
    "Channel", "Consumer", "Producer", "ReadSlot", "Schema", "Session", "WriteSlot", "channels", "connect", "consumer",
    "discover", "producer", *_errors,
]


def producer(channel, dtype=None, **options):
    """Creates a channel of this host, with no broker; ``Session.producer`` takes the same arguments.

    channel        its name: [a-z0-9._-], at most 128 characters
    dtype          of one record: what numpy takes for a dtype, or a Schema; None: plain bytes, as uint8
    units          of its fields, by their names
    record         the record's name, which counts when schemas are compared; by default "Record"
    records        how many records a slot has room for; or slot_bytes, in bytes
    capacity       slots that are kept; by default 64
    policy         "sync_reader" (nothing is lost), "publish_subscribe", "latest_only", "single_reader" or "pipeline"
    max_consumers  places; by default 64
    min_consumers  the first slot waits until so many are attached
    checksum       "none", "manual" or "enforced"
    groups         of a pipeline
    max_patience   seconds that a slow consumer is waited for; None: as long as it lives
    zone           the dtype (or Schema) of data beside the slots that changes slowly; with zone_units; or zone_bytes
    spin           seconds that a wait looks before it sleeps; None: always

    Raises ChannelHeld if the channel has a producer that lives, InvalidArgument, ResourceExhausted.
    """
    return Producer(channel, dtype, **options)


def consumer(channel, dtype=None, **options):
    """Waits for a channel of this host, with no broker, and attaches to it; ``Session.consumer`` takes the same arguments.

    channel    its name
    dtype      what the records must be (a dtype with the units in its metadata, or a Schema); None: whatever they are
    timeout    seconds to wait for the channel; None: for ever
    follow     go on with the channel's next producer when one is gone
    order      "next" (every slot) or "latest" (the newest); by default as the channel's policy has it
    group      of a pipeline
    start      "newest" (the next slot), "oldest" (what the channel still has) or a sequence number
    when_slow  what the producer does when this consumer holds it up for `patience` seconds: "block", "drop_backlog", "cut_off"
    zone       what the zone must be
    spin       seconds that a wait looks before it sleeps; None: always

    Raises ChannelNotFound, SchemaMismatch, ResourceExhausted, PermissionDenied.
    """
    return Consumer(channel, dtype, **options)


def discover(channel, timeout=0.0):
    """Waits at most ``timeout`` seconds for a channel of this host; raises ChannelNotFound."""
    return Session().discover(channel, timeout)


def channels(prefix=""):
    """The named channels of this host."""
    return Session().channels(prefix)
