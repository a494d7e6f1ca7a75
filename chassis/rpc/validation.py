"""Field rules (protovalidate) and the rules of partial updates."""

from typing import Any

import protovalidate
from google.protobuf.message import Message

from chassis import errors, policy

_UPDATE_MASK = "update_mask"


def check(request: Message, *, patches: bool) -> None:
    """Raise `Invalid` with a message for each field that breaks its rules.

    In a partial update only the fields that the mask names are looked at, and those the service sets itself, or that
    cannot change, are refused.
    """
    found = violations(request)
    if patches:
        found.update(_patch_violations(request))
    if found:
        raise errors.Invalid(fields=found)


def violations(message: Message, prefix: str = "") -> dict[str, list[str]]:
    """What of a message breaks its rules, by field; for what a method judges row by row."""
    found: dict[str, list[str]] = {}
    for violation in protovalidate.collect_violations(message):
        path = prefix + _path(violation.proto.field)
        found.setdefault(path.rstrip("."), []).append(violation.proto.message)
    return found


def _path(field: object) -> str:
    parts: list[str] = []
    for element in getattr(field, "elements", None) or ():
        parts.append(element.field_name)
        subscript = element.subscript
        if subscript is not None:
            parts.append(str(subscript.value))
    return ".".join(parts)


def _patch_violations(request: Message) -> dict[str, list[str]]:
    mask: list[str] = list(request.update_mask.paths)  # type: ignore[attr-defined]
    resource_field = next(
        entry for entry in request.DESCRIPTOR.fields if entry.message_type is not None and entry.name != _UPDATE_MASK
    )
    if not mask:
        return {resource_field.name: ["names nothing to change"]}
    resource: Message = getattr(request, resource_field.name)
    prefix = f"{resource_field.name}."
    found = {}
    fields: Any = resource.DESCRIPTOR.fields_by_name
    for path in mask:
        entry = fields.get(path.split(".", 1)[0])
        if entry is None:
            found[prefix + path] = ["is not a field"]
        elif policy.field_policy(entry).output_only or policy.field_policy(entry).immutable:
            found[prefix + path] = ["cannot be changed"]
    for path, messages in violations(resource, prefix).items():
        inner = path.removeprefix(prefix)
        if any(inner == named or inner.startswith(f"{named}.") or named.startswith(f"{inner}.") for named in mask):
            found.setdefault(path, []).extend(messages)
    return found
