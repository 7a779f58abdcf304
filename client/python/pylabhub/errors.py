"""What can go wrong, as exceptions that a program can tell apart.

Each carries ``code`` (the name of an ``absl::StatusCode``, such as ``"NOT_FOUND"``, or of a slot's result, such as
``"producer dead"``), ``reason`` (why a broker refused, such as ``"SCHEMA_MISMATCH"``; empty where no broker spoke) and
``metadata`` (what the broker told with it, by name).
"""

__all__ = [
    "BrokerUnavailable",
    "ChannelHeld",
    "ChannelNotFound",
    "ChannelNotReady",
    "CutOff",
    "ForkedHandle",
    "HandleBusy",
    "HandleClosed",
    "InvalidArgument",
    "NoChecksum",
    "NoZone",
    "PayloadTooLarge",
    "PermissionDenied",
    "ProducerClosed",
    "ProducerDead",
    "ProducerGone",
    "PylabhubError",
    "RegistrationLost",
    "ResourceExhausted",
    "SchemaMismatch",
    "SlotCorrupt",
    "SlotHeld",
    "SlotOverrun",
    "SlotReleased",
    "Timeout",
]


class PylabhubError(Exception):
    """The base of everything that pylabhub raises of its own."""

    code = ""
    reason = ""
    metadata = {}


class InvalidArgument(PylabhubError, ValueError):
    """An argument breaks its rule, which the message names."""


class PayloadTooLarge(InvalidArgument):
    """More was to be written than a slot holds."""


class SchemaMismatch(PylabhubError, TypeError):
    """The channel's records are others than were expected; ``metadata["difference"]`` may say what differs."""


class ChannelNotFound(PylabhubError, LookupError):
    """There is no such channel, on this host or with the broker."""


class ChannelNotReady(ChannelNotFound):
    """The channel is registered, but its producer is not ready yet."""


class ChannelHeld(PylabhubError):
    """The channel has a producer that lives already."""


class RegistrationLost(PylabhubError):
    """The broker no longer takes this session for the holder of what it registered."""


class PermissionDenied(PylabhubError, PermissionError):
    """The operating system or the broker's policy does not allow it, or the certificate is not good (any more)."""


class ResourceExhausted(PylabhubError):
    """No place, no memory, or a limit of the broker's is reached."""


class BrokerUnavailable(PylabhubError, ConnectionError):
    """The broker cannot be reached; or the operating system refused something, in words."""


class Timeout(PylabhubError, TimeoutError):
    """Nothing happened before the deadline; try again."""


class ProducerGone(PylabhubError):
    """Everything was read, and the producer is gone."""


class ProducerClosed(ProducerGone):
    """Everything was read, and the producer has closed the channel."""


class ProducerDead(ProducerGone):
    """Everything was read, and the producer died without closing the channel."""


class SlotCorrupt(PylabhubError):
    """A slot failed its checksum, or made no sense, and was skipped; go on with the next."""


class SlotOverrun(PylabhubError):
    """A slot changed while it was held; what was read from it is not to be trusted."""


class SlotReleased(PylabhubError):
    """The slot was given back already."""


class SlotHeld(PylabhubError):
    """A slot is being written; commit or abort it first."""


class CutOff(PylabhubError):
    """This consumer held its producer up for too long, and gets nothing any more; open the channel again."""


class NoZone(PylabhubError):
    """The channel has no zone."""


class NoChecksum(PylabhubError):
    """The producer gave the slot no checksum."""


class HandleClosed(PylabhubError):
    """This session, producer or consumer was closed."""


class HandleBusy(PylabhubError):
    """Another thread waits in this handle; give each thread its own."""


class ForkedHandle(PylabhubError):
    """The handle belongs to the parent of this process; open the channel anew."""


_BY_REASON = {
    "CHANNEL_HELD": ChannelHeld,
    "CHANNEL_NOT_FOUND": ChannelNotFound,
    "CHANNEL_NOT_READY": ChannelNotReady,
    "FENCED": RegistrationLost,
    "NOT_REGISTERED": RegistrationLost,
    "SCHEMA_MISMATCH": SchemaMismatch,
    "STALE_EPOCH": RegistrationLost,
}

_BY_CODE = {
    "ALREADY_EXISTS": ChannelHeld,
    "DEADLINE_EXCEEDED": Timeout,
    "INVALID_ARGUMENT": InvalidArgument,
    "NOT_FOUND": ChannelNotFound,
    "OUT_OF_RANGE": InvalidArgument,
    "PERMISSION_DENIED": PermissionDenied,
    "RESOURCE_EXHAUSTED": ResourceExhausted,
    "UNAUTHENTICATED": PermissionDenied,
    "UNAVAILABLE": BrokerUnavailable,
}

_BY_SLOT_RESULT = {
    "corrupt": (SlotCorrupt, "a slot was corrupt, and was skipped"),
    "cut off": (CutOff, "this consumer was too slow, and was cut off; open the channel again"),
    "forked": (ForkedHandle, "this handle belongs to the parent of this process; open the channel anew"),
    "no checksum": (NoChecksum, "the slot has no checksum"),
    "no zone": (NoZone, "the channel has no zone"),
    "overrun": (SlotOverrun, "the slot changed while it was held"),
    "producer closed": (ProducerClosed, "everything was read, and the producer has closed the channel"),
    "producer dead": (ProducerDead, "everything was read, and the producer died"),
    "timeout": (Timeout, "nothing happened before the deadline"),
    "too large": (PayloadTooLarge, "more was committed than a slot holds"),
}


def from_status(code, reason, message, metadata):
    """The exception for a status of the library's; called by the compiled half."""
    kind = _BY_REASON.get(reason) or _BY_CODE.get(code, PylabhubError)
    if message.startswith("SCHEMA_MISMATCH"):
        kind = SchemaMismatch
    error = kind(message)
    error.code, error.reason, error.metadata = code, reason, metadata
    return error


def from_slot_result(result, channel):
    """The exception for a result of the hot path; called by the compiled half."""
    kind, message = _BY_SLOT_RESULT.get(result, (PylabhubError, result))
    error = kind(f"channel '{channel}': {message}")
    error.code = result
    return error
