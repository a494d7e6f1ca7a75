"""Webhooks as providers send them: whether the signature fits, and what they say.

An adapter is a class with `verify` and `read`. `square` has one of its own, everybody else signs by Standard Webhooks.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol, TypeVar
from urllib.parse import unquote
from uuid import UUID

import orjson
from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from switchyard.common.v1 import http_pb2
from switchyard.inventory.v1 import webhooks_pb2

from chassis import clock, errors
from chassis.rpc import validation

SQUARE = "square"
COUNTED, SQUARE_COUNTED = "stock.counted", "inventory.count.updated"
_SQUARE_SIGNATURE = "x-square-hmacsha256-signature"
_SQUARE_FOR_SALE = "IN_STOCK"
_PATH = re.compile(r"/stores/([0-9A-Fa-f-]{36})/webhooks/([^/]{1,120})/end_point")
_EVENT_ID_MAX = 255
_QUANTITY_MAX = 10**12

M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class Sent:
    """A webhook as it came. Header names are in lower case."""

    site_id: UUID
    provider: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Count:
    """How much somebody found of something. `name` is what they call it; without `quantity`, `fault` says why."""

    name: str
    quantity: int | None
    occurred_at: datetime
    fault: str = ""
    location_id: str = ""
    is_ignored: bool = False


@dataclass(frozen=True)
class Event:
    """What a webhook says. `is_counts`: whether it is about counts at all."""

    id: str
    type: str
    is_counts: bool
    counts: Sequence[Count] = field(default=())


class Adapter(Protocol):
    """What knows how a provider speaks."""

    def verify(self, sent: Sent, secret: str, notification_url: str) -> str:
        """Why the signature does not fit; empty: it does."""
        ...

    def read(self, sent: Sent) -> Event:
        """What it says. Raises `Invalid`."""
        ...


def receive(request: http_pb2.HttpRequest) -> Sent:
    """A webhook from the request as it came. Raises `NotFound` for a path that names no site."""
    found = _PATH.fullmatch(request.path)
    try:
        site_id = UUID(found[1] if found else "")
    except ValueError:
        raise errors.NotFound from None
    headers = {each.name: each.value for each in request.headers}
    return Sent(site_id, unquote(found[2] if found else ""), headers, request.body)


def adapter(provider: str) -> Adapter:
    """The adapter of a provider."""
    return _Square() if provider == SQUARE else _Standard()


class _Standard:
    def verify(self, sent: Sent, secret: str, notification_url: str) -> str:  # noqa: ARG002 - others sign it
        try:
            Webhook(secret).verify(sent.body, dict(sent.headers), json_parse=False)
        except WebhookVerificationError as refusal:
            return str(refusal).lower()
        except ValueError:
            # What is not text, or no signature at all.
            return "no matching signature found"
        return ""

    def read(self, sent: Sent) -> Event:
        event_id = sent.headers["webhook-id"]
        if len(event_id) > _EVENT_ID_MAX:
            raise errors.Invalid(fields={"webhook-id": [f"must be at most {_EVENT_ID_MAX} characters"]})
        body = _object(sent.body)
        kind = str(body.get("type", ""))[:100]
        if kind != COUNTED:
            return Event(event_id, kind, is_counts=False)
        told = _message(body, webhooks_pb2.StockWebhook())
        sent_at = datetime.fromtimestamp(float(sent.headers["webhook-timestamp"]), UTC)
        happened_at = _moment(told, "timestamp", sent_at)
        counts = [
            Count(each.sku, each.quantity, _moment(each, "occurred_at", happened_at)) for each in told.data.counts
        ]
        return Event(event_id, kind, is_counts=True, counts=counts)


class _Square:
    """https://developer.squareup.com/docs/webhooks/step3validate and .../docs/inventory-api/webhooks.

    Square signs no time of sending, and sends an event again for a day: what was replayed is known by its id.
    """

    def verify(self, sent: Sent, secret: str, notification_url: str) -> str:
        signed = hmac.new(secret.encode(), notification_url.encode() + sent.body, hashlib.sha256).digest()
        shown = sent.headers.get(_SQUARE_SIGNATURE, "")
        fits = hmac.compare_digest(base64.b64encode(signed), shown.encode("utf-8"))
        return "" if fits else "no matching signature found"

    def read(self, sent: Sent) -> Event:
        body = _object(sent.body)
        kind = str(body.get("type", ""))[:100]
        if kind != SQUARE_COUNTED:
            return Event(str(body.get("event_id", ""))[:_EVENT_ID_MAX] or _digest(sent), kind, is_counts=False)
        told = _message(body, webhooks_pb2.SquareWebhook())
        made_at = _moment(told, "created_at", clock.now())
        counts = [self._count(each, made_at) for each in told.data.object.inventory_counts]
        return Event(told.event_id, kind, is_counts=True, counts=counts)

    def _count(self, told: webhooks_pb2.SquareCount, made_at: datetime) -> Count:
        quantity, fault = _whole(told.quantity)
        is_ignored = told.state != _SQUARE_FOR_SALE
        return Count(
            told.catalog_object_id,
            None if is_ignored else quantity,
            _moment(told, "calculated_at", made_at),
            fault=f"is {told.state or 'nothing'}, and not for sale" if is_ignored else fault,
            location_id=told.location_id,
            is_ignored=is_ignored,
        )


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise errors.Invalid(fields={"body": ["is not JSON"]}) from None
    if not isinstance(found, dict):
        raise errors.Invalid(fields={"body": ["must be an object"]})
    return found


def _message(body: dict[str, Any], message: M) -> M:
    try:
        json_format.ParseDict(body, message, ignore_unknown_fields=True)
    except (json_format.ParseError, ValueError, TypeError, RecursionError) as refusal:
        raise errors.Invalid(fields={"body": [str(refusal)[:200]]}) from None
    validation.check(message, patches=False)
    return message


def _moment(message: Message, name: str, otherwise: datetime) -> datetime:
    if not message.HasField(name):
        return otherwise
    told: Timestamp = getattr(message, name)
    return told.ToDatetime(UTC)


def _whole(text: str) -> tuple[int | None, str]:
    """A quantity from a decimal number as text, or why there is none."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None, "is not a number"
    if not number.is_finite() or number != number.to_integral_value():
        return None, "is not a whole number of the item's unit"
    if not 0 <= number <= _QUANTITY_MAX:
        return None, f"must be 0 to {_QUANTITY_MAX}"
    return int(number), ""


def _digest(sent: Sent) -> str:
    return hashlib.sha256(sent.body).hexdigest()
