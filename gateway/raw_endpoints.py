"""One route of a raw method as an OpenAPI operation: what is inside its requests and answers, its policy says."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from google.protobuf.descriptor import Descriptor

from gateway import endpoints, errors, examples
from gateway.contracts import ContractError
from gateway.decoding import Mode
from gateway.rules import Schema
from gateway.schemas import Shown


class RawEndpoint(endpoints.Endpoint):
    """One route of a raw method in the document."""

    def render(self) -> dict[str, Any]:
        return {**super().render(), "x-raw": True}

    def path_parameters(self) -> Iterable[dict[str, Any]]:
        for name in self.names:
            said = name.replace("_", " ")
            schema = {"type": "string", "minLength": 1}
            yield {
                "name": name,
                "in": "path",
                "required": True,
                "description": f"The {said}.",
                "schema": schema,
                "example": said,
            }

    def query_parameters(self) -> Iterable[dict[str, Any]]:
        raw = self.route.policy.raw
        if raw.consumes or not raw.request:
            return
        for field in self._message(raw.request).fields:
            schema = self.schemas.field(self.contract, field, Mode.CREATE)
            description = schema.pop("description", f"The {field.name.replace('_', ' ')}.")
            required = self.contract.rules_of(field).required
            yield {
                "name": field.name,
                "in": "query",
                "required": required,
                "description": description,
                "schema": endpoints.not_null(schema),
            }

    def headers(self) -> Iterable[dict[str, Any]]:
        # What else a header means is for the method to say.
        return self.who_and_where()

    def request_body(self) -> dict[str, Any] | None:
        raw = self.route.policy.raw
        if not raw.consumes:
            return None
        schema: Schema = {}
        example: Any = ""
        if raw.request:
            message = self._message(raw.request)
            schema = self.schemas.ref(self.contract, message, Mode.CREATE)
            example = examples.of_message(self.contract, message, Mode.CREATE)
        return {"required": True, "content": {raw.consumes: {"schema": schema, "example": example}}}

    def responses(self) -> dict[str, Any]:
        # A status of the method's own is said in its protocol's words, whatever the gateway says by the same one.
        return super().responses() | {str(status): _response(status) for status in self.route.policy.raw.statuses}

    def success_response(self) -> dict[str, Any]:
        raw = self.route.policy.raw
        found = _response(self.success())
        if not raw.produces:
            return found
        schema: Schema = {}
        example: Any = ""
        if raw.response:
            message = self._message(raw.response)
            schema = self.schemas.ref(self.contract, message, Shown.RAW)
            example = examples.of_message(self.contract, message, Shown.RAW)
        return {**found, "content": {raw.produces: {"schema": schema, "example": example}}}

    def problem_statuses(self) -> list[int]:
        policy = self.route.policy
        found = {429, 500, 503, 504}
        if not policy.public:
            found |= {401, 403, 422}
        if policy.raw.consumes:
            found |= {413}
        return sorted(found | {int(errors.KINDS[code].status) for code in policy.errors if code in errors.KINDS})

    def _message(self, name: str) -> Descriptor:
        try:
            return self.contract.pool.FindMessageTypeByName(name)
        except KeyError:
            raise ContractError(f"{self.route.path}: the descriptor set has no message {name}") from None


def _response(status: int) -> dict[str, Any]:
    headers = {"X-Request-ID": {"schema": {"type": "string"}}}
    if 300 <= status < 400:  # noqa: PLR2004 -- somewhere else
        headers["Location"] = {"schema": {"type": "string"}}
    return {"description": f"{HTTPStatus(status).phrase}.", "headers": headers}
