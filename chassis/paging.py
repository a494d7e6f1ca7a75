"""Lists: keyset pages with opaque, signed cursors.

A cursor holds the sort keys of the last row, bound by a signature (HMAC-SHA256) to the tenant, the method, the order
and the filters it was made for; any other use of it is refused.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import orjson
import sqlalchemy as sa
from google.protobuf.message import Message

from chassis import call, errors

SIZE_DEFAULT = 25
SIZE_MAX = 100
_SIGNATURE_BYTES = 16
_NOT_A_FILTER = frozenset({"page_size", "cursor"})

Row = TypeVar("Row")


@dataclass(frozen=True)
class Order:
    """One column of the order and its direction."""

    name: str
    column: sa.ColumnElement[Any]
    descending: bool


class Pager:
    """Reads pages of one method. `key` signs the cursors and is the same in every process of the service."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def page(
        self,
        request: Any,
        columns: Mapping[str, Any],
        *,
        default: str,
    ) -> "Page":
        """The page a request asks for. `columns` are those it may be ordered by; `id` breaks ties and must be there.

        Raises `Invalid` for an unknown order or a cursor that was not made for this very list.
        """
        orders = _orders(getattr(request, "order_by", "") or default, columns)
        scope = _scope(request)
        size = min(request.page_size or SIZE_DEFAULT, SIZE_MAX)
        after = self._open(request.cursor, scope, len(orders)) if request.cursor else None
        return Page(self, scope, size, orders, after)

    def seal(self, scope: bytes, values: Sequence[object]) -> str:
        """A cursor."""
        body = orjson.dumps([_to_json(value) for value in values])
        return base64.urlsafe_b64encode(self._sign(scope, body) + body).decode().rstrip("=")

    def _open(self, cursor: str, scope: bytes, length: int) -> list[object]:
        try:
            raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        except (binascii.Error, ValueError):
            raise _bad_cursor() from None
        signature, body = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._sign(scope, body)):
            raise _bad_cursor()
        values: list[object] = orjson.loads(body)
        if len(values) != length:
            raise _bad_cursor()
        return values

    def _sign(self, scope: bytes, body: bytes) -> bytes:
        return hmac.new(self._key, scope + body, hashlib.sha256).digest()[:_SIGNATURE_BYTES]


@dataclass(frozen=True)
class Page:
    """One page that was asked for."""

    pager: Pager
    scope: bytes
    size: int
    orders: Sequence[Order]
    after: Sequence[object] | None

    def apply(self, select: "sa.Select[Any]") -> "sa.Select[Any]":
        """The select of this page, with one row more than fits, which tells whether there is a next page."""
        values = [_from_json(order.column, value) for order, value in zip(self.orders, self.after or (), strict=False)]
        return self._ordered(select, values).limit(self.size + 1)

    @property
    def shape(self) -> tuple[object, ...]:
        """What the page's statement depends on: two pages of one shape differ in `parameters` alone."""
        return (self.size, tuple((order.name, order.descending) for order in self.orders), self.after is not None)

    def hot(self, select: "sa.Select[Any]") -> "sa.Select[Any]":
        """As `apply`, for a `chassis.db.Query` that is kept: the cursor's values are parameters."""
        values = [sa.bindparam(f"after_{place}", type_=order.column.type) for place, order in enumerate(self.orders)]
        return self._ordered(select, values).limit(sa.literal_column(str(self.size + 1)))

    @property
    def parameters(self) -> dict[str, object]:
        """The parameters of `hot`."""
        after = self.after or ()
        return {f"after_{place}": _from_json(self.orders[place].column, value) for place, value in enumerate(after)}

    def cut(self, rows: Sequence[Row]) -> tuple[Sequence[Row], str]:
        """The rows that fit and the cursor of the next page, empty on the last one."""
        if len(rows) <= self.size:
            return rows, ""
        kept = rows[: self.size]
        return kept, self.pager.seal(self.scope, [_value(kept[-1], order.name) for order in self.orders])

    def _ordered(self, select: "sa.Select[Any]", values: Sequence[Any]) -> "sa.Select[Any]":
        if self.after is not None:
            select = select.where(self._beyond(values))
        return select.order_by(*(order.column.desc() if order.descending else order.column for order in self.orders))

    def _beyond(self, values: Sequence[Any]) -> sa.ColumnElement[bool]:
        if len({order.descending for order in self.orders}) == 1:
            # Compared as rows, so that an index leads to the first one beyond, however far down it is.
            row = sa.tuple_(*(order.column for order in self.orders))
            given = [
                value if isinstance(value, sa.BindParameter) else sa.literal(value, order.column.type)
                for order, value in zip(self.orders, values, strict=True)
            ]
            last = sa.tuple_(*given)
            return row < last if self.orders[0].descending else row > last
        # (a, b) beyond (x, y)  =  a beyond x, or a = x and b beyond y.
        alternatives = []
        for place, order in enumerate(self.orders):
            beyond = order.column < values[place] if order.descending else order.column > values[place]
            equal = [earlier.column == value for earlier, value in zip(self.orders[:place], values, strict=False)]
            alternatives.append(sa.and_(*equal, beyond))
        return sa.or_(*alternatives)


def _orders(order_by: str, columns: Mapping[str, Any]) -> list[Order]:
    orders: list[Order] = []
    for part in order_by.split(","):
        name = part.strip().removeprefix("-")
        if name not in columns or name in {order.name for order in orders}:
            allowed = ", ".join(sorted(name for name in columns if name != "id"))
            raise errors.Invalid(fields={"order_by": [f"must be made of: {allowed}"]})
        orders.append(Order(name, columns[name], part.strip().startswith("-")))
    if "id" not in {order.name for order in orders}:
        orders.append(Order("id", columns["id"], orders[0].descending))
    return orders


def _scope(request: Message) -> bytes:
    current = call.current()
    asked = type(request)()
    asked.CopyFrom(request)
    for name in _NOT_A_FILTER:
        asked.ClearField(name)
    told = f"{current.principal.tenant}/{current.action}/".encode() + asked.SerializeToString(deterministic=True)
    return hashlib.sha256(told).digest()


def _value(row: Any, name: str) -> object:
    return row[name] if isinstance(row, asyncpg.Record) else getattr(row, name)


def _bad_cursor() -> errors.Invalid:
    return errors.Invalid(fields={"cursor": ["is not a cursor of this list"]})


def _to_json(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else str(value) if isinstance(value, UUID) else value


def _from_json(column: sa.ColumnElement[Any], value: object) -> object:
    kind = column.type.python_type
    if kind is datetime:
        return datetime.fromisoformat(str(value))
    return UUID(str(value)) if kind is UUID else value
