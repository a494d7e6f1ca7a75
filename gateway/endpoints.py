"""One route as an OpenAPI operation."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from google.protobuf.descriptor import Descriptor
from switchyard.options.v1 import policy_pb2

from chassis.policy import AUDIENCES, audience
from gateway import errors, examples, schemas, trims
from gateway.decoding import Mode
from gateway.routes import Route
from gateway.rules import Schema
from gateway.schemas import Schemas, Shown
from gateway.transcode import NEXT_CURSOR

PAGE_SIZE_DEFAULT: Final = 25
_WRITES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_AUDIENCES: Final = tuple(AUDIENCES.values())
_RATE_CLASSES: Final = {
    number: name.removeprefix("RATE_CLASS_").lower() for name, number in policy_pb2.RateClass.items() if number
}
_STEP_UP: Final = ("STEP_UP_REQUIRED", "IMPERSONATION_FORBIDDEN")
_STRING: Final[Schema] = {"type": "string"}
HEADERS: Final[Mapping[str, Schema]] = {
    "X-Tenant-ID": {
        "description": "The tenant to act in; needed only by those who may act in more than one.",
        "schema": {"type": "string", "format": "uuid"},
    },
    "X-Site-ID": {
        "description": "Narrows the call to one site.",
        "schema": {"type": "string", "format": "uuid"},
    },
    "Idempotency-Key": {
        "description": "The same key and body again replays the first answer instead of doing it twice.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    },
    "If-Match": {
        "description": "The ETag that was read; if the resource has changed since, nothing happens.",
        "schema": {"type": "string", "pattern": '^"[0-9]{1,15}"$'},
        "example": '"1"',
    },
    "If-None-Match": {
        "description": "The ETag of the copy at hand; if it is still good, the answer is 304.",
        "schema": {"type": "string", "pattern": '^(W/)?"[0-9a-f]{1,64}"$'},
        "example": '"1"',
    },
}
PROBLEMS: Final[Mapping[int, tuple[str, tuple[str, ...]]]] = {
    400: ("A required header is missing.", ("IDEMPOTENCY_KEY_REQUIRED",)),
    401: ("No credential, or one that is not valid any more.", ("UNAUTHENTICATED", "TOKEN_EXPIRED")),
    403: ("The permission, or the kind of principal, does not allow it.", ("PERMISSION_DENIED", "TENANT_SUSPENDED")),
    404: ("No such thing, or it belongs to another tenant.", ("NOT_FOUND",)),
    409: ("A rule of the business stands in the way.", ("CONFLICT", "IDEMPOTENCY_KEY_IN_USE")),
    412: ("The resource has changed since it was read.", ("STALE_VERSION",)),
    413: ("The body is over 1 MiB.", ("BODY_TOO_LARGE",)),
    415: ("The body is not `application/json`.", ("UNSUPPORTED_MEDIA_TYPE",)),
    422: ("The request breaks a rule of its fields.", ("VALIDATION_FAILED", "IDEMPOTENCY_KEY_REUSED")),
    428: ("`If-Match` is required.", ("PRECONDITION_REQUIRED",)),
    429: ("Too many requests; `Retry-After` says when to come back.", ("RATE_LIMITED",)),
    500: ("A fault of ours.", ("INTERNAL",)),
    503: ("The service is down or sheds load.", ("UNAVAILABLE", "OVERLOADED")),
    504: ("It took too long; whether it happened is unknown.", ("DEADLINE_EXCEEDED",)),
}


class Endpoint:
    """One route in the document. `names` are what its path variables are called there.

    What a subclass documents in another way has a name without an underscore.
    """

    def __init__(self, route: Route, found: Schemas, names: list[str]) -> None:
        self.route = route
        self.contract = route.contract
        self._transcoder = route.transcoder
        self._reader = route.transcoder.reader
        self.schemas = found
        self.names = names

    def render(self) -> dict[str, Any]:
        """The operation object."""
        route, policy = self.route, self.route.policy
        comment = schemas.prose(route.method.comment)
        operation: dict[str, Any] = {
            "operationId": self._operation_id(),
            "tags": [route.service],
            "summary": comment.split(". ")[0].split("\n")[0].rstrip(".") or route.method.name,
            "description": comment or route.method.name,
            "parameters": [*self.path_parameters(), *self.query_parameters(), *self.headers()],
            "responses": self.responses(),
            "security": [] if policy.public else [{"bearer": []}],
            "x-permission": policy.permission,
            "x-audience": [each for each in _AUDIENCES if each in audience(policy)],
            "x-rate-class": _RATE_CLASSES.get(policy.rate_class) or ("read" if route.verb == "GET" else "write"),
            "x-platform": policy.platform,
            "x-tenant-optional": policy.tenant_optional,
            "x-step-up": policy.step_up,
            "x-idempotent": policy.idempotent or route.verb == "GET",
            "x-error-codes": self._codes(),
            "x-grpc-method": route.path,
        }
        if policy.snapshot_of:
            operation["x-snapshot-of"] = policy.snapshot_of
        if route.is_alias and self._transcoder.canonical:
            operation["x-alias-of"] = self._transcoder.canonical
        body = self.request_body()
        if body is not None:
            operation["requestBody"] = body
        return operation

    def _operation_id(self) -> str:
        number = self.route.method.bindings.index(self.route.binding)
        return f"{self.route.service}_{self.route.method.name}" + (f"_{number}" if number else "")

    def path_parameters(self) -> Iterable[dict[str, Any]]:
        for variable, name in zip(self.route.variables, self.names, strict=True):
            parameter = self._reader.params[variable.path]
            schema = self.schemas.field(self.contract, parameter.field, Mode.CREATE)
            description = schema.pop("description", f"The {name.replace('_', ' ')}.")
            plain = not_null(schema)
            if plain.get("type") == "string" and "minLength" not in plain:
                plain["minLength"] = 1
            yield {
                "name": name,
                "in": "path",
                "required": True,
                "description": description,
                "schema": plain,
                "example": examples.of_field(self.contract, parameter.field, Mode.CREATE),
            }

    def query_parameters(self) -> Iterable[dict[str, Any]]:
        for path, parameter in self._reader.query.items():
            schema = self.schemas.field(self.contract, parameter.field, Mode.CREATE)
            description = schema.pop("description", f"Only those with this {path.replace('_', ' ')}.")
            plain = not_null(schema)
            if path == "page_size":
                plain["default"] = PAGE_SIZE_DEFAULT
            required = self.contract.rules_of(parameter.field).required
            yield {"name": path, "in": "query", "required": required, "description": description, "schema": plain}
        if self._transcoder.takes_view:
            yield {
                "name": "view",
                "in": "query",
                "description": "How much of each resource to answer with.",
                "schema": {"type": "string", "enum": list(trims.VIEWS), "default": "full"},
            }
        if self._transcoder.takes_fields and self._transcoder.item is not None:
            names = "|".join(each.name for each in self._transcoder.item.fields)
            yield {
                "name": "fields",
                "in": "query",
                "description": "Only these fields of each resource, with commas between; `a.b` is a field of a field.",
                "schema": {"type": "string", "pattern": f"^({names})(,({names}))*$"},
                "example": self._transcoder.item.fields[0].name,
            }

    def who_and_where(self) -> Iterable[dict[str, Any]]:
        """The headers that say in which tenant and site a pass is asked for."""
        policy = self.route.policy
        wanted = [] if policy.public else ["X-Site-ID"] if policy.platform else ["X-Tenant-ID", "X-Site-ID"]
        return ({"$ref": f"#/components/parameters/{name}"} for name in wanted)

    def headers(self) -> Iterable[dict[str, Any]]:
        route, policy = self.route, self.route.policy
        yield from self.who_and_where()
        wanted = []
        if route.verb == "POST":
            wanted.append("Idempotency-Key")
        if route.verb in {"PATCH", "PUT", "DELETE"}:
            wanted.append("If-Match")
        if route.verb == "GET" and self._transcoder.has_etag:
            wanted.append("If-None-Match")
        must = {"Idempotency-Key": policy.idempotency_key_required, "If-Match": policy.if_match_required}
        for name in wanted:
            if must.get(name):
                yield {**header(name), "required": True}
            else:
                yield {"$ref": f"#/components/parameters/{name}"}

    def request_body(self) -> dict[str, Any] | None:
        route, reader = self.route, self._reader
        if not route.body:
            return None
        if reader.body is None:
            without = frozenset(each.path for each in route.variables if "." not in each.path)
            message = route.method.input
            schema = self.schemas.ref(self.contract, message, reader.mode, without=without)
            example: Any = examples.of_message(self.contract, message, reader.mode, without=without)
            name = schema["$ref"].rpartition("/")[2]
            required = bool(self.schemas.components[name].get("required"))
        else:
            schema = self.schemas.field(self.contract, reader.body, reader.mode)
            schema = not_null({name: value for name, value in schema.items() if name != "description"})
            example = examples.of_field(self.contract, reader.body, reader.mode)
            required = True
        return {"required": required, "content": {"application/json": {"schema": schema, "example": example}}}

    def responses(self) -> dict[str, Any]:
        found = {str(self.success()): self.success_response()}
        if self.route.verb == "GET" and self._transcoder.has_etag:
            found["304"] = {"description": "The copy at hand is still good.", "headers": {"ETag": {"schema": _STRING}}}
        for status in self.problem_statuses():
            found[str(status)] = {"$ref": f"#/components/responses/{status}"}
        return found

    def success(self) -> int:
        if self._transcoder.is_empty:
            return 204
        return {policy_pb2.SUCCESS_CREATED: 201, policy_pb2.SUCCESS_ACCEPTED: 202}.get(self.route.policy.success, 200)

    def success_response(self) -> dict[str, Any]:
        status = self.success()
        if status == 204:  # noqa: PLR2004 -- no content
            return {"description": "Done."}
        headers: dict[str, Any] = {"X-Request-ID": {"schema": _STRING}}
        if status in {201, 202}:
            headers["Location"] = {"schema": {"type": "string", "format": "uri-reference"}}
        if self._transcoder.has_etag:
            headers["ETag"] = {"schema": _STRING}
        schema, example = self._payload()
        if not self.route.is_alias:
            schema, example = self._envelope(schema, example)
        content = {"application/json": {"schema": schema, "example": example}}
        description = {200: "OK.", 201: "Created.", 202: "Accepted."}[status]
        return {"description": description, "headers": headers, "content": content}

    def _payload(self) -> tuple[Schema, Any]:
        """The schema and an example of what `data` holds, or of the whole answer of an alias."""
        transcoder, response = self._transcoder, self.route.method.output
        part = transcoder.payload_field or (None if self.route.is_alias else transcoder.items)
        if part is None:
            schema = self._answer(response)
            return schema, examples.of_message(self.contract, response, Shown.WHOLE)
        example = examples.of_field(self.contract, part, Shown.WHOLE)
        if transcoder.item is None:
            return self.schemas.field(self.contract, part, Shown.WHOLE), example
        schema = self._answer(transcoder.item)
        return {"type": "array", "items": schema} if part.is_repeated else schema, example

    def _answer(self, message: Descriptor) -> Schema:
        whole = self.schemas.ref(self.contract, message, Shown.WHOLE)
        transcoder = self._transcoder
        if not (transcoder.takes_fields or transcoder.takes_view or transcoder.read_permissions):
            return whole
        return {"anyOf": [whole, self.schemas.ref(self.contract, message, Shown.TRIMMED)]}

    def _envelope(self, schema: Schema, example: Any) -> tuple[Schema, Any]:
        items = self._transcoder.items
        name = "PageMeta" if items is not None else "Meta"
        meta: Schema = {"$ref": f"#/components/schemas/{name}"}
        example_meta = {"request_id": examples.UUID}
        others = [] if items is None else [each for each in self._transcoder.response.fields if each.name != items.name]
        more = {each.name: self.schemas.field(self.contract, each, Shown.WHOLE) for each in others}
        more.pop(NEXT_CURSOR, None)
        if more:
            meta = {"allOf": [meta, {"type": "object", "properties": more}]}
        properties = {"data": schema, "meta": meta}
        envelope = {"type": "object", "properties": properties, "required": ["data", "meta"]}
        return envelope, {"data": example, "meta": example_meta}

    def problem_statuses(self) -> list[int]:
        policy, verb = self.route.policy, self.route.verb
        found = {422, 429, 500, 503, 504}
        if not policy.public:
            found |= {401, 403, 404}
        elif verb in _WRITES or self.route.variables:
            # A public method may check a secret of its own in the body.
            found |= {401, 403, 404}
        if verb in _WRITES:
            found |= {409, 413}
        if self.route.body:
            found |= {415}
        if verb in {"PATCH", "PUT", "DELETE"}:
            found |= {412}
        if policy.idempotency_key_required:
            found |= {400}
        if policy.if_match_required:
            found |= {428}
        return sorted(found | {int(errors.KINDS[code].status) for code in policy.errors if code in errors.KINDS})

    def _codes(self) -> dict[str, list[str]]:
        """The codes of each status, with the method's own business codes at the status they have."""
        found = {str(status): list(PROBLEMS[status][1]) for status in self.problem_statuses()}
        for code in (*self.route.policy.errors, *(_STEP_UP if self.route.policy.step_up else ())):
            kind = errors.KINDS.get(code)
            codes = found.setdefault(str(int(kind.status)) if kind else "409", [])
            if code not in codes:
                codes.append(code)
        return found


def header(name: str) -> dict[str, Any]:
    """A header parameter."""
    return {"name": name, "in": "header", **HEADERS[name]}


def not_null(schema: Schema) -> Schema:
    """The schema of a value that cannot be null: there is no null in a path or a query, and a body is one thing."""
    if isinstance(schema.get("type"), list):
        schema = {**schema, "type": schema["type"][0]}
        if "enum" in schema:
            schema["enum"] = [each for each in schema["enum"] if each is not None]
    if schema.get("anyOf", [None])[-1] == {"type": "null"}:
        rest = {name: value for name, value in schema.items() if name != "anyOf"}
        schema = {**schema["anyOf"][0], **rest}
    return dict(schema)
