"""Validation rules of a field (protovalidate) as JSON Schema keywords, where JSON Schema can say them.

What it cannot say (CEL, lengths in bytes) is left out: the service still refuses it, with 422.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from buf.validate import validate_pb2

Schema = dict[str, Any]

_FORMATS: Final[Mapping[str, str]] = {
    "email": "email",
    "hostname": "hostname",
    "ipv4": "ipv4",
    "ipv6": "ipv6",
    "uri": "uri",
    "uri_ref": "uri-reference",
    "uuid": "uuid",
}
_BOUNDS: Final[Mapping[str, str]] = {
    "gte": "minimum",
    "gt": "exclusiveMinimum",
    "lte": "maximum",
    "lt": "exclusiveMaximum",
}
_NUMBERS: Final = frozenset(
    {
        "float",
        "double",
        "int32",
        "int64",
        "uint32",
        "uint64",
        "sint32",
        "sint64",
        "fixed32",
        "fixed64",
        "sfixed32",
        "sfixed64",
    }
)


def keywords(rules: validate_pb2.FieldRules, words: Mapping[int, str] | None = None) -> Schema:
    """The keywords of a field's rules. `words` are the words of its enum, if it is one."""
    kind = rules.WhichOneof("type")
    if kind is None or rules.ignore == validate_pb2.IGNORE_ALWAYS:
        return {}
    inner = getattr(rules, kind)
    if kind in _NUMBERS:
        return _number(inner)
    translate = _BY_KIND.get(kind)
    if translate is not None:
        return translate(inner)
    if kind == "enum" and words is not None:
        return _enum(inner, words)
    return {"const": inner.const} if kind == "bool" and inner.HasField("const") else {}


def refuses_zero(schema: Schema) -> bool:
    """Whether the value that stands for an absent field breaks the keywords: then the field has to be given."""
    kind = schema.get("type")
    if kind == "string":
        pattern = schema.get("pattern")
        return bool(
            schema.get("minLength", 0) > 0
            or "format" in schema
            or (pattern is not None and not re.search(pattern, ""))
            or ("enum" in schema and "" not in schema["enum"])
            or schema.get("const", "") != ""
        )
    if kind in {"integer", "number"}:
        low_is_over = schema.get("minimum", 0) > 0 or schema.get("exclusiveMinimum", -1) >= 0
        high_is_under = schema.get("maximum", 0) < 0 or schema.get("exclusiveMaximum", 1) <= 0
        return bool(low_is_over or high_is_under or 0 not in schema.get("enum", [0]) or schema.get("const", 0) != 0)
    return bool(kind == "array" and schema.get("minItems", 0) > 0)


def enum_refuses_zero(found: validate_pb2.EnumRules) -> bool:
    """Whether an enum that is not given breaks its rules."""
    allowed = list(getattr(found, "in"))
    return bool((allowed and 0 not in allowed) or 0 in found.not_in or (found.HasField("const") and found.const))


def not_zero(schema: Schema) -> Schema:
    """The keywords of a field that is required and whose zero counts as absent."""
    kind = schema.get("type")
    if refuses_zero(schema):
        return schema
    if kind == "string":
        return {**schema, "minLength": 1}
    if kind == "array":
        return {**schema, "minItems": 1}
    if kind in {"integer", "number"}:
        return {**schema, "minimum": 1} if schema.get("minimum") == 0 else {**schema, "not": {"const": 0}}
    if kind == "boolean":
        return {**schema, "const": True}
    if kind == "object" and "additionalProperties" in schema and "properties" not in schema:
        return {**schema, "minProperties": max(1, schema.get("minProperties", 0))}
    return schema


def or_zero(schema: Schema) -> Schema:
    """The keywords of a field whose rules hold only for values that are not its zero."""
    if not refuses_zero(schema):
        return schema
    kind = schema["type"]
    zero: object = "" if kind == "string" else [] if kind == "array" else 0
    return {"anyOf": [schema, {"const": zero, "type": kind}]}


def _string(rules: validate_pb2.StringRules) -> Schema:
    schema: Schema = {}
    for name, keyword in (("min_len", "minLength"), ("max_len", "maxLength"), ("const", "const")):
        if rules.HasField(name):
            schema[keyword] = getattr(rules, name)
    if rules.HasField("len"):
        schema["minLength"] = schema["maxLength"] = rules.len
    if getattr(rules, "in"):
        schema["enum"] = list(getattr(rules, "in"))
    if rules.not_in:
        schema["not"] = {"enum": list(rules.not_in)}
    patterns = [rules.pattern] if rules.HasField("pattern") and _compiles(rules.pattern) else []
    patterns += [f"^{re.escape(rules.prefix)}"] if rules.HasField("prefix") else []
    patterns += [f"{re.escape(rules.suffix)}$"] if rules.HasField("suffix") else []
    patterns += [re.escape(rules.contains)] if rules.HasField("contains") else []
    if len(patterns) == 1:
        schema["pattern"] = patterns[0]
    elif patterns:
        schema["allOf"] = [{"pattern": each} for each in patterns]
    known = rules.WhichOneof("well_known")
    if known in _FORMATS and getattr(rules, known):
        schema["format"] = _FORMATS[known]
    return schema


def _compiles(pattern: str) -> bool:
    """Whether a pattern, which services write for RE2, is one for readers of JSON Schema too."""
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def _number(rules: Any) -> Schema:
    schema: Schema = {keyword: getattr(rules, name) for name, keyword in _BOUNDS.items() if rules.HasField(name)}
    if rules.HasField("const"):
        schema["const"] = rules.const
    allowed = list(getattr(rules, "in"))
    if allowed:
        schema["enum"] = allowed
    if rules.not_in:
        schema["not"] = {"enum": list(rules.not_in)}
    return schema


def _enum(rules: validate_pb2.EnumRules, words: Mapping[int, str]) -> Schema:
    allowed = list(getattr(rules, "in")) or list(words)
    if rules.HasField("const"):
        allowed = [rules.const]
    return {"enum": [words[each] for each in allowed if each in words and each not in rules.not_in]}


def _repeated(rules: validate_pb2.RepeatedRules) -> Schema:
    schema: Schema = {}
    if rules.HasField("min_items"):
        schema["minItems"] = rules.min_items
    if rules.HasField("max_items"):
        schema["maxItems"] = rules.max_items
    if rules.unique:
        schema["uniqueItems"] = True
    return schema


def _map(rules: validate_pb2.MapRules) -> Schema:
    schema: Schema = {}
    if rules.HasField("min_pairs"):
        schema["minProperties"] = rules.min_pairs
    if rules.HasField("max_pairs"):
        schema["maxProperties"] = rules.max_pairs
    names = keywords(rules.keys)
    if names:
        schema["propertyNames"] = names
    return schema


_BY_KIND: Final[Mapping[str, Callable[[Any], Schema]]] = {"string": _string, "repeated": _repeated, "map": _map}
