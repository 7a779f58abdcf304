"""Where channels are found: with a broker, or by their names on this host."""

import dataclasses
import os
import weakref

from pylabhub import _pylabhub
from pylabhub.consumer import Consumer
from pylabhub.errors import HandleClosed
from pylabhub.producer import Producer
from pylabhub.schema import Schema

__all__ = ["Channel", "Session", "connect"]

_SCHEMA_TIMEOUT_S = 5.0


@dataclasses.dataclass(frozen=True)
class Channel:
    """A channel, as the broker (or this host's shared memory) knows it."""

    name: str
    state: str  # "pending", "ready" or "closing"
    schema: Schema | None  # of what a broker lists, None: `discover` says it
    schema_version: int  # of the broker's registry; 0 without a broker
    segment_id: str
    consumers: int
    epoch: int  # 0 without a broker
    identity: str  # the producer's; empty without a broker
    host: str
    pid: int
    program: str
    metadata: dict


def _channel_from(described):
    text = described.pop("schema_text")
    return Channel(schema=Schema(text) if text else None, **described)


class Session:
    """A link to one broker; or, without one, to the named channels of this host.

    What is registered with a broker stays so for as long as the session lives: heartbeats are sent by threads of its own.
    Data never passes through it. A session may be used by any thread.
    """

    def __init__(self, address=None, *, certificates=None, server_name="", timeout=5.0, on_event=None,
                 directory="/dev/shm"):
        self._directory = directory
        self._link = None
        self._closed = False
        self._handles = weakref.WeakSet()
        if address is not None:
            self._link = _pylabhub.BrokerLink(
                address=address, certificates=os.fspath(certificates or ""), server_name=server_name,
                timeout=timeout, on_event=on_event)

    def producer(self, channel, dtype=None, **options):
        """Creates a channel and registers it; see ``pylabhub.producer``."""
        return self._keep(Producer, channel, dtype, options)

    def consumer(self, channel, dtype=None, **options):
        """Waits for a channel and attaches to it; see ``pylabhub.consumer``."""
        return self._keep(Consumer, channel, dtype, options)

    def _keep(self, kind, channel, dtype, options):
        self._check_open()
        options.setdefault("directory", self._directory)
        handle = kind(channel, dtype, link=self._link, **options)
        self._handles.add(handle)
        return handle

    def discover(self, channel, timeout=0.0, *, strong=False):
        """Waits at most ``timeout`` seconds until the channel is there and ready; raises ChannelNotFound.

        With a broker the answer may be milliseconds old; ``strong`` asks it anew.
        """
        self._check_open()
        if self._link is None:
            return _channel_from(_pylabhub.discover(channel, timeout, self._directory))
        found = self._link.discover(channel, timeout, strong)
        if not found["schema_text"]:
            found["schema_text"] = self._link.schema_text(channel, found["schema_version"], _SCHEMA_TIMEOUT_S)
        return _channel_from(found)

    def channels(self, prefix="", timeout=5.0):
        """Every channel whose name begins with ``prefix``, in the order of names."""
        self._check_open()
        if self._link is None:
            found = _pylabhub.list_channels(self._directory, prefix)
        else:
            found = self._link.list_channels(prefix, timeout)
        return [_channel_from(channel) for channel in found]

    @property
    def has_broker(self):
        """Whether there is a broker."""
        return self._link is not None

    @property
    def identity(self):
        """Whom the broker takes this session for; empty without one."""
        self._check_open()
        return "" if self._link is None else self._link.identity

    def _check_open(self):
        if self._closed:
            raise HandleClosed("this session was closed")

    def close(self):
        """Closes the producers and consumers that were made with it, and gives up what is registered."""
        self._closed = True
        for handle in list(self._handles):
            handle.close()
        self._link = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def connect(address=None, *, certificates=None, server_name="", timeout=5.0, on_event=None, directory="/dev/shm"):
    """Connects to a broker over mutual TLS; without an address, finds channels by their names on this host.

    address       ``"host:port"`` or ``"unix:/path"``; None: ``$PYLABHUB_BROKER``, or no broker if that is not set either
    certificates  the folder with ca.pem, client.pem and client.key; None: ``$PYLABHUB_CERTS``
    server_name   the name that the broker's certificate must be good for, where it is not the host of ``address``
    timeout       seconds
    on_event      called with ``(kind, channel, status, close_reason)``, all text, when a channel closes, a registration is
                  lost or the broker is out of reach; on a thread of the session's
    directory     the folder of shared memory; only tests have another one

    Raises BrokerUnavailable, PermissionDenied, InvalidArgument and Timeout; the message says which file or name is wrong.
    """
    if address is None:
        address = os.environ.get("PYLABHUB_BROKER") or None
    if certificates is None:
        certificates = os.environ.get("PYLABHUB_CERTS")
    return Session(address, certificates=certificates, server_name=server_name, timeout=timeout, on_event=on_event,
                   directory=directory)
