"""The OpenAPI 3.1 document of the contracts that are live.

Every status that the gateway or a service can answer with is in it, so that tests can be generated from the document
alone.
"""

from functools import lru_cache
from typing import Any, Final

import orjson

from gateway import endpoints, errors, examples, raw_endpoints, schemas
from gateway.contracts import ContractError, refusing
from gateway.routes import Route, RouteTable
from gateway.rules import Schema
from gateway.schemas import Schemas

_ABOUT: Final = """Generated from the contracts that are live in the registry.

An answer under `/api/v1` is `{"data": ..., "meta": {...}}`, an error `application/problem+json`. Every request may
carry `X-Request-ID` (1 to 64 safe characters), `traceparent`, and, when it changes something, `X-Audit-Context`:
a JSON object of at most 2 KiB that is kept with the audit event."""


@lru_cache(maxsize=2)
def render(table: RouteTable, *, title: str = "Switchyard", version: str = "1") -> bytes:
    """The document as JSON. A table is immutable, so the bytes are kept for as long as it is current."""
    return orjson.dumps(document(table, title=title, version=version))


def document(table: RouteTable, *, title: str = "Switchyard", version: str = "1") -> dict[str, Any]:
    """The document."""
    found = Schemas()
    paths: dict[str, dict[str, Any]] = {}
    spelled: dict[tuple[tuple[str, ...], str], list[str]] = {}
    for route in sorted(table.routes, key=lambda each: (each.is_alias, each.template)):
        shape = tuple("*" if _is_variable(route, at) else each for at, each in enumerate(route.segments))
        # Two templates that differ in the names of their variables only are one path.
        names = spelled.setdefault((shape, route.action), [each.path.replace(".", "_") for each in route.variables])
        paths.setdefault(_path(route, names), {})[route.verb.lower()] = _operation(route, found, names)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": version,
            "description": _ABOUT,
        },
        "servers": [{"url": "/"}],
        "tags": _tags(table),
        "paths": paths,
        "components": {
            "schemas": {**_shared_schemas(), **found.components},
            "parameters": {name: endpoints.header(name) for name in endpoints.HEADERS},
            "responses": {str(status): _problem_response(status) for status in endpoints.PROBLEMS},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
        "security": [{"bearer": []}],
    }


def _operation(route: Route, found: Schemas, names: list[str]) -> dict[str, Any]:
    """One operation. A contract that can be served and yet not be described does not take the document down."""
    try:
        with refusing(route.service):
            kind = raw_endpoints.RawEndpoint if route.is_raw else endpoints.Endpoint
            return kind(route, found, names).render()
    except ContractError as error:
        return {"summary": route.method.name, "x-undescribed": str(error), "responses": {}}


def _tags(table: RouteTable) -> list[dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for route in table.routes:
        owner = route.path[1:].partition("/")[0]
        comment = schemas.prose(route.contract.comments.get(owner, ""))
        found.setdefault(route.service, {"name": route.service, "description": comment or route.service})
    return [found[name] for name in sorted(found)]


def _is_variable(route: Route, at: int) -> bool:
    return any(each.start <= at < (each.end or len(route.segments)) for each in route.variables)


def _path(route: Route, names: list[str]) -> str:
    """The template as OpenAPI writes it: a variable is a name and nothing else."""
    parts: list[str] = []
    starts = {each.start: name for each, name in zip(route.variables, names, strict=True)}
    for at, segment in enumerate(route.segments):
        if at in starts:
            parts.append(f"{{{starts[at]}}}")
        elif not _is_variable(route, at):
            parts.append(segment)
    return "/" + "/".join(parts) + (f":{route.action}" if route.action else "")


def _shared_schemas() -> dict[str, Schema]:
    request_id = {"type": "string", "description": "Names the request in logs and traces."}
    cursor = {"type": "string", "description": "Where the next page starts; absent on the last one."}
    problem: dict[str, Schema] = {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "code": {"type": "string", "pattern": "^[A-Z][A-Z0-9_]*$"},
        "message": {"type": "string"},
        "details": {
            "type": "object",
            "description": "What is wrong, by field path.",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        },
        "request_id": {"type": "string"},
        "trace_id": {"type": "string"},
        "retryable": {"type": "boolean"},
    }
    transitions = {"type": "array", "items": {"type": "string"}, "description": "Moves that the state allows."}
    return {
        "Meta": {"type": "object", "properties": {"request_id": request_id}, "required": ["request_id"]},
        "PageMeta": {
            "type": "object",
            "properties": {"request_id": request_id, "next_cursor": cursor},
            "required": ["request_id"],
        },
        "Problem": {
            "type": "object",
            "properties": {**problem, "allowed_transitions": transitions},
            "required": list(problem),
        },
    }


def _problem_response(status: int) -> dict[str, Any]:
    description, codes = endpoints.PROBLEMS[status]
    problem = errors.Problem(codes[0], details={"name": ["must be a string"]} if status == 422 else None)  # noqa: PLR2004
    example = orjson.loads(problem.body(request_id=examples.UUID, trace_id="0af7651916cd43dd8448eb211c80319c"))
    content = {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}
    found = {"description": description, "content": {errors.MEDIA_TYPE: content}}
    named = {401: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After"}.get(status)
    return {**found, "headers": {named: {"schema": {"type": "string"}}}} if named else found
