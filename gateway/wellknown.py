"""JSON forms of single values: times, durations, bytes, numbers, enums and free JSON.

The functions that read take the value, the path it stands at and the `Reading` that collects what is wrong; they
answer None after a refusal. Compiled code in `encoding` and `decoding` calls them by name.
"""

import base64
import binascii
import re
import struct
from collections.abc import Callable, Iterable, Mapping
from datetime import MINYEAR, date, datetime, timedelta, timezone
from functools import cache, lru_cache
from typing import Any, Final

from google.protobuf.descriptor import EnumDescriptor

# The largest integer that every JSON reader keeps exactly (RFC 8259, section 6).
EXACT_MAX: Final = 2**53 - 1
FLOAT32_MAX: Final = 3.4028234663852886e38
# Nesting of free JSON and of messages that contain themselves. protobuf refuses to parse more than 100 levels, and
# one level of free JSON takes three.
DEPTH_MAX: Final = 24
# About 10,000 years, as protobuf's own documentation bounds it.
DURATION_MAX_S: Final = 315_576_000_000

# PostgreSQL's text cannot hold it, and no name or note needs it.
NUL: Final = "must not contain the NUL character"

_DAY_S: Final = 86_400
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017 -- `datetime.UTC` is the module's name here
_MINUTES: Final = tuple(f"{minute // 60:02}:{minute % 60:02}:" for minute in range(1440))
_SECONDS: Final = tuple(f"{second:02}." for second in range(60))
_TIMESTAMP: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt](\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))", re.ASCII
)
_DURATION: Final = re.compile(r"(-?)(\d{1,12})(?:\.(\d{1,9}))?s", re.ASCII)
_MASK_PATH: Final = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)*", re.ASCII)

Bad = Callable[[str, str], None]


class Reading:
    """What came to light while a request was read."""

    __slots__ = ("errors", "guarded", "mask")

    def __init__(self) -> None:
        self.errors: dict[str, list[str]] = {}
        self.guarded: dict[str, str] = {}
        self.mask: list[str] = []

    def bad(self, path: str, text: str) -> Any:
        """Note one thing that is wrong at `path`. The answer is None, which readers then hand on."""
        self.errors.setdefault(path or "body", []).append(text)


@lru_cache(maxsize=4096)
def _day(number: int) -> str:
    return f"{date.fromordinal(_EPOCH_DAY + number).isoformat()}T"


def stamp(seconds: int, nanos: int) -> str:
    """RFC 3339 in UTC with milliseconds."""
    day, rest = divmod(seconds, _DAY_S)
    return f"{_day(day)}{_MINUTES[rest // 60]}{_SECONDS[rest % 60]}{nanos // 1_000_000:03}Z"


def span(seconds: int, nanos: int) -> str:
    """A duration in seconds, such as `1.5s`."""
    sign = "-" if seconds < 0 or nanos < 0 else ""
    fraction = f".{abs(nanos):09}".rstrip("0") if nanos else ""
    return f"{sign}{abs(seconds)}{fraction}s"


def base64_of(value: bytes) -> str:
    """Standard base64 with padding."""
    return binascii.b2a_base64(value, newline=False).decode()


def shortest(value: float) -> float:
    """The shortest decimal that is the same 32-bit number."""
    if value != value or value in {float("inf"), float("-inf")}:  # noqa: PLR0124 -- NaN differs from itself
        return value
    single = struct.pack("<f", value)
    for digits in range(6, 10):
        short = float(f"{value:.{digits}g}")
        if abs(short) <= FLOAT32_MAX and struct.pack("<f", short) == single:
            return short
    return value


def json_of_struct(message: Any) -> dict[str, Any]:
    """A `google.protobuf.Struct` as JSON."""
    return {name: json_of_value(value) for name, value in message.fields.items()}


def json_of_list(message: Any) -> list[Any]:
    """A `google.protobuf.ListValue` as JSON."""
    return [json_of_value(value) for value in message.values]


def json_of_value(message: Any) -> Any:
    """A `google.protobuf.Value` as JSON; whole numbers without a fraction."""
    kind = message.WhichOneof("kind")
    if kind == "struct_value":
        return json_of_struct(message.struct_value)
    if kind == "list_value":
        return json_of_list(message.list_value)
    if kind == "number_value":
        number = message.number_value
        return int(number) if number.is_integer() else number
    return None if kind in {None, "null_value"} else getattr(message, kind)


def why_not_integer(value: object, low: int, high: int) -> str:
    """The message for a value that is not an integer within bounds."""
    if isinstance(value, float) and not value.is_integer():
        return "must be a whole number"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"must be between {low} and {high}"
    return "must be a whole number"


def integer(value: object, low: int, high: int, path: str, reading: Reading) -> Any:
    """An integer within bounds. `5.0` is one, as in JSON Schema."""
    if value.__class__ is int and low <= value <= high:
        return value
    if isinstance(value, float) and value.is_integer() and low <= value <= high:
        return int(value)
    return reading.bad(path, why_not_integer(value, low, high))


def boolean(value: object, path: str, reading: Reading) -> Any:
    """`true` or `false`, nothing else."""
    if value.__class__ is bool:
        return value
    return reading.bad(path, "must be true or false")


def text(value: object, path: str, reading: Reading) -> Any:
    """A string."""
    if value.__class__ is str:
        return value
    return reading.bad(path, "must be a string")


def double(value: object, path: str, reading: Reading) -> Any:
    """A number."""
    if value.__class__ is float or value.__class__ is int:
        return float(value)
    return reading.bad(path, "must be a number")


def single(value: object, path: str, reading: Reading) -> Any:
    """A number that a 32-bit float can hold."""
    number = double(value, path, reading)
    if number is not None and abs(number) > FLOAT32_MAX:
        return reading.bad(path, "is too large for a 32-bit number")
    return number


def octets(value: object, path: str, reading: Reading) -> Any:
    """Standard base64 with padding, in its one canonical form."""
    if isinstance(value, str):
        try:
            decoded = base64.b64decode(value, validate=True)
        except ValueError:
            return reading.bad(path, "must be base64")
        if base64_of(decoded) == value:
            return decoded
    return reading.bad(path, "must be base64")


def timestamp(value: object, path: str, reading: Reading) -> Any:
    """Seconds since 1970 and nanoseconds of an RFC 3339 time with any offset."""
    found = _TIMESTAMP.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return reading.bad(path, "must be an RFC 3339 time such as 2026-11-21T04:21:31.000Z")
    day, clock, fraction, sign, hours, minutes = found.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}+00:00") - _EPOCH
        offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
        moment += offset if sign == "-" else -offset
        _ = _EPOCH + moment
    except (ValueError, OverflowError):
        return reading.bad(path, f"must be a time of the calendar from year {MINYEAR} on")
    nanos = int(fraction.ljust(9, "0")) if fraction else 0
    return moment.days * _DAY_S + moment.seconds, nanos


def duration(value: object, path: str, reading: Reading) -> Any:
    """Seconds and nanoseconds, of one sign, of a duration such as `1.5s`."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return reading.bad(path, "must be a duration in seconds such as 1.5s")
    sign = -1 if found.group(1) else 1
    seconds, nanos = int(found.group(2)), int((found.group(3) or "").ljust(9, "0"))
    if seconds > DURATION_MAX_S:
        return reading.bad(path, f"must be at most {DURATION_MAX_S}s")
    return sign * seconds, sign * nanos


def mask_paths(value: object, path: str, reading: Reading) -> Any:
    """The paths of a field mask, which are written with commas between."""
    if isinstance(value, str):
        paths = value.split(",") if value else []
        if all(_MASK_PATH.fullmatch(each) for each in paths):
            return paths
    return reading.bad(path, "must be field paths with commas between")


def fill_struct(message: Any, value: object, path: str, reading: Reading, depth: int = 0) -> Any:
    """Put a JSON object into a `Struct`."""
    if not isinstance(value, dict):
        return reading.bad(path, "must be an object")
    for name, each in value.items():
        fill_value(message.fields[name], each, f"{path}.{name}", reading, depth + 1)
    return message


def fill_list(message: Any, value: object, path: str, reading: Reading, depth: int = 0) -> Any:
    """Put a JSON array into a `ListValue`."""
    if not isinstance(value, list):
        return reading.bad(path, "must be a list")
    for at, each in enumerate(value):
        fill_value(message.values.add(), each, f"{path}.{at}", reading, depth + 1)
    return message


def fill_value(message: Any, value: object, path: str, reading: Reading, depth: int = 0) -> Any:
    """Put any JSON into a `Value`."""
    if depth > DEPTH_MAX:
        return reading.bad(path, f"is nested deeper than {DEPTH_MAX} levels")
    if value is None:
        message.null_value = 0
    elif isinstance(value, bool):
        message.bool_value = value
    elif isinstance(value, str):
        message.string_value = value
    elif isinstance(value, (int, float)):
        if isinstance(value, int) and abs(value) > EXACT_MAX:
            return reading.bad(path, f"must be between {-EXACT_MAX} and {EXACT_MAX}")
        message.number_value = value
    elif isinstance(value, dict):
        message.struct_value.SetInParent()
        fill_struct(message.struct_value, value, path, reading, depth)
    else:
        message.list_value.SetInParent()
        fill_list(message.list_value, value, path, reading, depth)
    return message


def refuse_nul(value: object, path: str, reading: Reading) -> None:
    """Note every string in parsed JSON that has a NUL character in it."""
    if isinstance(value, str) and "\0" in value:
        reading.bad(path, NUL)
    elif isinstance(value, dict):
        for name, each in value.items():
            refuse_nul(name, path, reading)
            refuse_nul(each, f"{path}.{name}".lstrip("."), reading)
    elif isinstance(value, list):
        for at, each in enumerate(value):
            refuse_nul(each, f"{path}.{at}".lstrip("."), reading)


@cache
def _upper_snake(name: str) -> str:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return words.upper()


def enum_names(enum: EnumDescriptor) -> dict[str, int]:
    """The words of an enum and their numbers: lower case, without the type's name; never the unspecified value."""
    prefix = f"{_upper_snake(enum.name)}_"
    return {
        value.name.removeprefix(prefix).lower(): value.number
        for value in enum.values
        if value.number or not value.name.endswith("UNSPECIFIED")
    }


def enum_words(enum: EnumDescriptor) -> dict[int, str]:
    """The word of each number: of two names for one number, the first."""
    words: dict[int, str] = {}
    for name, number in enum_names(enum).items():
        words.setdefault(number, name)
    return words


def why_not_enum(names: Iterable[str] | Mapping[str, int]) -> str:
    """The message for a word that an enum does not have."""
    return f"must be one of {', '.join(names)}"
