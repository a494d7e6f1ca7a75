"""Settings documents: read, checked against their kind's schema, written with their history.

Whoever writes a document holds the lock on its row, so that each version follows the one before it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any
from uuid import UUID

import jsonschema_rs
import orjson
from google.protobuf.struct_pb2 import Struct, Value
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.tenants.v1 import events_pb2
from switchyard.tenants.v1 import settings_pb2 as pb

from chassis import call, clock, errors, events
from services.tenants import checks, kinds, messages, setting_store, sites
from services.tenants.kinds import Document, Kind
from services.tenants.models import Setting

BYTES_MAX = 64 * 1024
# The largest integer that every JSON reader keeps exactly (RFC 8259, section 6).
EXACT_MAX = 2**53 - 1
# An answer names so many mistakes, each by so much of its path: it has to fit into a call's trailing metadata (8 KiB).
MISTAKES_MAX = 16
PATH_LEN_MAX = 64


@dataclass(frozen=True)
class Place:
    """Where a document belongs: to the tenant, or to one of its stations."""

    kind: Kind
    station_id: UUID | None = None
    site_id: UUID | None = None

    @property
    def name(self) -> str:
        """The kind, and the station behind a `/`."""
        return f"{self.kind.key}/{self.station_id}" if self.station_id else self.kind.key


def of_tenant(key: str) -> Place:
    """The place of the tenant's document of a kind. Raises `NotFound`."""
    kind = kinds.KINDS.get(key)
    if kind is None or kind.per_station:
        raise errors.NotFound
    return Place(kind)


async def of_station(session: AsyncSession, station_id: str, *, lock: bool = False) -> Place:
    """The place of a station's document. Raises `NotFound` for a station that is gone or not the caller's to see."""
    station = await sites.get_station(session, station_id, lock=lock)
    return Place(kinds.STATION, station.id, station.site_id)


async def read(session: AsyncSession, place: Place) -> pb.Setting:
    """The document as it is now; the kind's default, as version 0, where nobody has written one."""
    return told(place, await setting_store.current(session, call.current().principal.tenant, place.name))


def told(place: Place, row: Any) -> pb.Setting:
    """The document of a row, or the kind's default without one."""
    if row is None:
        return messages.setting(place.kind.key, place.station_id, place.kind.default, 0)
    return _message(place, row)


async def write(session: AsyncSession, place: Place, wanted: Struct) -> pb.Setting:
    """Replace the document. Raises `Invalid`, `StaleVersion`, `Denied`."""
    current = call.current()
    principal = current.principal
    if place.station_id is None:
        checks.whole_tenant(principal)
    value = checked(place.kind, wanted)
    row = await setting_store.lock(
        session, principal.tenant, place.name, key=place.kind.key, station_id=place.station_id, now=clock.now()
    )
    current.require_version(row.version)
    if not row.version or not _same(row.value, value):
        row.value, row.version = value, row.version + 1
        row.updated_at, row.updated_by = clock.now(), principal.name
        await session.flush()
        await setting_store.keep(session, row)
        _tell(session, place, row)
    return _message(place, row)


async def read_version(session: AsyncSession, place: Place, number: int) -> pb.Setting:
    """The document as it was in one version. Raises `NotFound`."""
    row = await setting_store.version(session, call.current().principal.tenant, place.name, number)
    if row is None:
        raise errors.NotFound
    return _message(place, row)


def checked(kind: Kind, wanted: Struct) -> Document:
    """The document as plain JSON. Raises `Invalid`, naming paths into it."""
    value = _object(wanted, "value", 0)
    if len(orjson.dumps(value)) > BYTES_MAX:
        raise errors.Invalid(fields={"value": [f"must be at most {BYTES_MAX} bytes"]})
    wrong: kinds.Wrong = {}
    for path, message in islice(_mistakes(kind, value), MISTAKES_MAX):
        wrong.setdefault(path, []).append(message)
    if not wrong:
        wrong = {f"value.{path}": said for path, said in kind.check(value).items()}
    if wrong:
        raise errors.Invalid(fields=wrong)
    return value


@cache
def _validator(key: str) -> jsonschema_rs.Validator:
    # The engine without backtracking: no document keeps a pattern busy.
    return jsonschema_rs.validator_for(
        kinds.KINDS[key].schema,
        validate_formats=True,
        ignore_unknown_formats=False,
        pattern_options=jsonschema_rs.RegexOptions(),
        mask="the value",
        offline=True,
    )


def _mistakes(kind: Kind, value: Document) -> Iterator[tuple[str, str]]:
    """Where the document breaks the schema, and how."""
    for mistake in _validator(kind.key).iter_errors(value):
        at = [str(part) for part in mistake.instance_path]
        if isinstance(mistake.kind, jsonschema_rs.ValidationErrorKind.Required):
            yield _path([*at, str(mistake.kind.property)]), "is required"
        elif isinstance(mistake.kind, jsonschema_rs.ValidationErrorKind.AdditionalProperties):
            for name in mistake.kind.unexpected:
                yield _path([*at, name]), "is not a known field"
        else:
            yield _path(at), mistake.message[:200]


def _path(parts: list[str]) -> str:
    return ".".join(["value", *parts])[:PATH_LEN_MAX]


def _object(told: Struct, path: str, depth: int) -> Document:
    found = {}
    for name, value in told.fields.items():
        _text(name, path)
        found[name] = _plain(value, f"{path}.{name}"[:PATH_LEN_MAX], depth + 1)
    return found


def _plain(told: Value, path: str, depth: int) -> Any:
    """Free JSON as PostgreSQL and every reader of JSON keep it. Raises `Invalid`."""
    kind = told.WhichOneof("kind")
    if kind == "struct_value":
        return _object(told.struct_value, path, depth)
    if kind == "list_value":
        return [_plain(each, f"{path}.{at}", depth + 1) for at, each in enumerate(told.list_value.values)]
    if kind == "number_value":
        return _number(told.number_value, path)
    if kind == "string_value":
        return _text(told.string_value, path)
    return told.bool_value if kind == "bool_value" else None


def _number(number: float, path: str) -> float:
    if not math.isfinite(number) or (number.is_integer() and abs(number) > EXACT_MAX):
        raise errors.Invalid(fields={path: [f"must be a number between {-EXACT_MAX} and {EXACT_MAX}"]})
    return int(number) if number.is_integer() else number


def _text(text: str, path: str) -> str:
    if "\0" in text:
        raise errors.Invalid(fields={path: ["must not contain the NUL character"]})
    return text


def _same(one: Document, other: Document) -> bool:
    """Whether two documents are the same JSON: to Python, true is 1."""
    return orjson.dumps(one, option=orjson.OPT_SORT_KEYS) == orjson.dumps(other, option=orjson.OPT_SORT_KEYS)


def _message(place: Place, row: Any) -> pb.Setting:
    unsigned = messages.setting(place.kind.key, place.station_id, row.value, row.version)
    signed: pb.Setting = messages.signed(unsigned, updated_at=row.updated_at, updated_by=row.updated_by)
    return signed


def _tell(session: AsyncSession, place: Place, row: Setting) -> None:
    event = events_pb2.SettingsChanged(
        key=place.kind.key,
        station_id=str(place.station_id or ""),
        site_id=str(place.site_id or ""),
        version=row.version,
        value=messages.struct(row.value),
    )
    audience = [f"site:{place.site_id}", f"station:{place.station_id}"] if place.station_id else ["tenant"]
    events.publish(session, event, subject=f"settings/{place.name}", audience=audience)
