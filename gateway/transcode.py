"""JSON to messages and back, for one binding of one method."""

from collections.abc import Mapping
from dataclasses import dataclass

from google.protobuf.message import Message

from gateway.contracts import Binding, Method


@dataclass(frozen=True, slots=True)
class Trim:
    """How much of the answer the client asked for. `fields` wins over `view`."""

    fields: tuple[str, ...] = ()
    view: str = ""


WHOLE = Trim()


@dataclass(frozen=True, slots=True)
class Call:
    """A decoded request. `params` are its path parameters; `guarded` maps the fields it sets that need a permission
    of their own to that permission."""

    message: Message
    params: Mapping[str, str]
    guarded: Mapping[str, str]
    trim: Trim = WHOLE


@dataclass(frozen=True, slots=True)
class Answer:
    """A success, ready to send. Header names are in lower case; an answer with a body has its media type."""

    status: int
    headers: dict[str, str]
    body: bytes


class Transcoder:
    """One binding's two directions, compiled when it is made."""

    def __init__(
        self, method: Method, binding: Binding, *, params: tuple[str, ...], is_alias: bool, canonical: str | None
    ) -> None:
        self.method = method
        self.binding = binding
        self.params = params
        self.is_alias = is_alias
        self.canonical = canonical

    def decode(self, params: Mapping[str, str], query: str, body: bytes) -> Call:
        """Build the request. Raises `errors.Problem` (422) with everything that is wrong with it.

        `query` is the raw query string. A body is only read where the binding has one.
        """
        raise NotImplementedError

    def encode(
        self,
        call: Call,
        message: Message,
        *,
        request_id: str,
        if_none_match: str = "",
        denied: frozenset[str] = frozenset(),
    ) -> Answer:
        """Build the answer: envelope, status, `location`, `etag`; 304 where `if_none_match` names the version.

        `denied` are the read permissions, of those in `read_permissions`, that the caller lacks.
        """
        raise NotImplementedError
