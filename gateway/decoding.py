"""JSON objects to messages: one Python function is generated for each message type and use.

A function takes the parsed JSON, the path it stands at (with a last dot) and the `Reading` that collects what is
wrong, and answers the message, or None if anything is wrong so far. Reading goes on after an error, so that a client
hears of all of them at once.
"""

import enum
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway import wellknown
from gateway.contracts import Contract, reachable
from gateway.fields import Decode, from_json, from_text, int_bounds, is_leaf, is_map, message_of

IMMUTABLE: Final = "cannot be changed"
READ_ONLY: Final = "is read-only"
UNKNOWN: Final = "is not a known field"
_MISSING: Final = object()


class Mode(enum.Enum):
    """What a body is for: a new thing, a whole thing that replaces another, or a merge patch of one."""

    CREATE = "create"
    REPLACE = "replace"
    PATCH = "patch"


class Decoders:
    """The decoders of one contract's messages."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self._names: dict[tuple[str, Mode, frozenset[str]], str] = {}
        self._todo: list[tuple[str, Descriptor, Mode, frozenset[str]]] = []
        self._scope: dict[str, Any] = {
            "M": _MISSING,
            "why": wellknown.why_not_integer,
            "many": many,
            "mapping": mapping,
            "too_deep": too_deep,
        }

    def of(self, message: Descriptor, mode: Mode = Mode.CREATE, without: frozenset[str] = frozenset()) -> Decode:
        """The decoder of a type; `without` are fields of it that come from elsewhere."""
        name = self.need(message, mode, without)
        while self._todo:
            function, todo, its_mode, its_without = self._todo.pop()
            lines = _Function(self, todo, its_mode).lines(function, its_without)
            where = f"<decoder of {self.contract.service}>"
            exec(compile("\n".join(lines), where, "exec"), self._scope)  # noqa: S102 -- our own source
        decode: Decode = self._scope[name]
        return decode

    def need(self, message: Descriptor, mode: Mode, without: frozenset[str] = frozenset()) -> str:
        """The name of a function, which is written later if there is none."""
        key = (message.full_name, mode, without)
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = f"decode_{len(self._names)}"
            self._todo.append((name, message, mode, without))
        return name

    def put(self, value: object) -> str:
        """Give a value a name in the scope of the generated functions."""
        name = f"c{len(self._scope)}"
        self._scope[name] = value
        return name

    def element(self, found: FieldDescriptor, mode: Mode) -> Decode:
        """The decoder of an element of a list or map, path without a last dot."""
        if found.message_type is None or is_leaf(found.message_type):
            return from_json(found)
        return partial(self._call, self.need(message_of(found), mode))

    def _call(self, name: str, value: Any, path: str, reading: wellknown.Reading) -> Any:
        return self._scope[name](value, f"{path}.", reading)


class _Function:
    """Writes the decoder of one message type."""

    def __init__(self, decoders: Decoders, message: Descriptor, mode: Mode) -> None:
        self._decoders = decoders
        self._message = message
        self._mode = mode
        # Elements of a list or map are replaced as a whole, in a patch too.
        self._inner = Mode.CREATE if mode is Mode.CREATE else Mode.REPLACE

    def lines(self, name: str, without: frozenset[str]) -> Iterator[str]:
        accepted = [each for each in self._message.fields if each.name not in without and not self._refusal(each)]
        refused = {each.name: self._refusal(each) for each in self._message.fields if self._refusal(each)}
        put = self._decoders.put
        make = put(message_factory.GetMessageClass(self._message))
        known = put(frozenset(each.name for each in accepted))
        yield f"def {name}(o, at, r):"
        yield "    if o.__class__ is not dict: return r.bad(at[:-1], 'must be an object')"
        if _is_recursive(self._message):
            yield "    if too_deep(at, r): return None"
        yield f"    if not {known}.issuperset(o):"
        yield f"        for n in o.keys() - {known}: r.bad(at + n, {put(refused)}.get(n, {UNKNOWN!r}))"
        yield "    k = {}"
        yield "    g = o.get"
        for each in accepted:
            yield from self._field(each)
        for oneof in self._message.oneofs:
            yield from self._oneof([each.name for each in oneof.fields])
        yield f"    return None if r.errors else {make}(**k)"

    def _refusal(self, found: FieldDescriptor) -> str:
        policy = self._decoders.contract.policy_of(found)
        if policy.output_only:
            return READ_ONLY
        return IMMUTABLE if policy.immutable and self._mode is not Mode.CREATE else ""

    def _field(self, found: FieldDescriptor) -> Iterator[str]:
        name = found.name
        yield f"    v = g({name!r}, M)"
        yield "    if v is not M:"
        permission = self._decoders.contract.policy_of(found).write_permission
        if permission:
            yield f"        r.guarded[at + {name!r}] = {permission!r}"
        if self._mode is Mode.PATCH and not self._is_merged(found):
            yield f"        r.mask.append(at + {name!r})"
        *clauses, (_, last) = [*self._null(found), *self._value(found)]
        for number, (condition, action) in enumerate(clauses):
            yield f"        {'elif' if number else 'if'} {condition}: {action}"
        yield f"        else: {last}" if clauses else f"        {last}"

    def _null(self, found: FieldDescriptor) -> Iterator[tuple[str, str]]:
        """What null means: nothing, in a field that may be absent; in a patch, that the field is cleared."""
        if self._mode is Mode.PATCH:
            if self._decoders.contract.rules_of(found).required:
                yield "v is None", f"r.bad(at + {found.name!r}, 'must not be null')"
            elif self._is_merged(found):
                yield "v is None", f"r.mask.append(at + {found.name!r})"
            else:
                yield "v is None", "pass"
        elif found.has_presence and not _takes_null(found):
            yield "v is None", "pass"

    def _value(self, found: FieldDescriptor) -> Iterator[tuple[str, str]]:
        """Conditions and what to do then; the last one is for everything else."""
        name, put, take = found.name, self._decoders.put, f"k[{found.name!r}] ="
        refuse = f"r.bad(at + {name!r}, {{}})"
        bounds = int_bounds(found)
        if is_map(found):
            key, value = (message_of(found).fields_by_name[each] for each in ("key", "value"))
            convert = put(self._decoders.element(value, self._inner))
            yield "", f"{take} mapping(v, at + {name!r}, r, {put(from_text(key))}, {convert})"
        elif found.is_repeated and _is_message(found):
            each = self._decoders.need(message_of(found), self._inner)
            yield "v.__class__ is list", f"{take} [{each}(x, f'{{at}}{name}.{{i}}.', r) for i, x in enumerate(v)]"
            yield "", refuse.format("'must be a list'")
        elif found.is_repeated:
            yield "", f"{take} many(v, at + {name!r}, r, {put(from_json(found))})"
        elif _is_message(found):
            mode = self._mode if self._is_merged(found) else self._inner
            yield "", f"{take} {self._decoders.need(message_of(found), mode)}(v, at + '{name}.', r)"
        elif found.type == FieldDescriptor.TYPE_STRING:
            yield "v.__class__ is str", f"{take} v"
            yield "", refuse.format("'must be a string'")
        elif bounds is not None:
            yield f"v.__class__ is int and {bounds[0]} <= v <= {bounds[1]}", f"{take} v"
            yield "", f"{take} {put(from_json(found))}(v, at + {name!r}, r)"
        else:
            yield "", f"{take} {put(from_json(found))}(v, at + {name!r}, r)"

    def _is_merged(self, found: FieldDescriptor) -> bool:
        """Whether a patch goes into the field instead of replacing it."""
        return self._mode is Mode.PATCH and _is_message(found) and not found.is_repeated

    @staticmethod
    def _oneof(names: list[str]) -> Iterator[str]:
        if len(names) > 1:
            yield f"    n = [x for x in {names!r} if x in k]"
            yield f"    if len(n) > 1: r.bad(at + n[1], 'only one of {', '.join(names)} may be given')"


def many(value: Any, path: str, reading: wellknown.Reading, convert: Decode) -> Any:
    """The elements of a JSON array."""
    if value.__class__ is not list:
        return reading.bad(path, "must be a list")
    return [convert(each, f"{path}.{at}", reading) for at, each in enumerate(value)]


def mapping(value: Any, path: str, reading: wellknown.Reading, key: Decode, convert: Decode) -> Any:
    """The entries of a JSON object whose names are data."""
    if value.__class__ is not dict:
        return reading.bad(path, "must be an object")
    found = [(f"{path}.{name}", name, each) for name, each in value.items()]
    return {key(name, at, reading): convert(each, at, reading) for at, name, each in found}


def too_deep(at: str, reading: wellknown.Reading) -> bool:
    """Whether messages that contain themselves are nested beyond the bound; notes it."""
    deep = at.count(".") > wellknown.DEPTH_MAX
    if deep:
        reading.bad(at[:-1], f"is nested deeper than {wellknown.DEPTH_MAX} levels")
    return deep


def _is_message(found: FieldDescriptor) -> bool:
    return found.message_type is not None and not is_leaf(found.message_type) and not is_map(found)


def _takes_null(found: FieldDescriptor) -> bool:
    names = {each.full_name for each in (found.message_type, found.enum_type) if each is not None}
    return bool(names & {"google.protobuf.Value", "google.protobuf.NullValue"})


def _is_recursive(message: Descriptor) -> bool:
    below = [each.message_type for each in message.fields if each.message_type is not None]
    return any(message.full_name == each.full_name for start in below for each in reachable(start, stop=is_leaf))
