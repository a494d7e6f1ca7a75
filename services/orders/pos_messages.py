"""The point of sale as the contract's messages."""

from collections.abc import Mapping
from typing import Any

from switchyard.orders.v1 import pos_pb2

from chassis import codec
from services.orders import messages
from services.orders.pos import Wanted
from services.orders.pos_models import PosConnection

_PROVIDERS = codec.words(pos_pb2.PosProvider.DESCRIPTOR)
_VERDICTS = codec.words(pos_pb2.PosVerdict.DESCRIPTOR)
_NUMBERS: Mapping[str, Any] = {word: number for number, word in _PROVIDERS.items()}


def connection(row: PosConnection, secret: str = "") -> pos_pb2.PosConnection:
    """A connection; its secret only where it is shown."""
    return pos_pb2.PosConnection(
        site_id=str(row.site_id),
        provider=_NUMBERS[row.provider],
        url=row.url,
        enabled=row.enabled,
        secret=secret,
        version=row.version,
        created_at=messages.time(row.created_at),
        updated_at=messages.time(row.updated_at),
    )


def wanted(request: pos_pb2.PutPosConnectionRequest) -> Wanted:
    """A connection as a request wants it."""
    return Wanted(
        provider=_PROVIDERS.get(request.provider, "standard"),
        url=request.url,
        enabled=request.enabled if request.HasField("enabled") else True,
        rotate_secret=request.rotate_secret,
    )


def verdict(request: pos_pb2.ConfirmPosOrderRequest) -> str:
    """What a POS says, in the word of the tables."""
    return _VERDICTS[request.status]
