"""A client, a person's browser, and the pages between them."""

import base64
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import orjson
from switchyard.auth.v1 import oauth_pb2
from switchyard.common.v1 import http_pb2

from chassis.testing import Tenant
from services.auth.tests.support import PASSWORD, Auth, Person, admin

REDIRECT = "https://rota.example/callback"
CODE_GRANTS = ("authorization_code", "refresh_token")
CREDENTIALS = "client_credentials"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
SCOPES = ("openid", "profile", "email", "offline_access", "orders.*")


def verifier() -> tuple[str, str]:
    """A PKCE verifier and its challenge."""
    chosen = secrets.token_urlsafe(48)
    digest = hashlib.sha256(chosen.encode()).digest()
    return chosen, base64.urlsafe_b64encode(digest).decode().rstrip("=")


@dataclass(frozen=True)
class Client:
    """A registered client and its secret."""

    id: str
    secret: str = ""
    redirect: str = REDIRECT

    @property
    def basic(self) -> dict[str, str]:
        if not self.secret:
            return {}
        told = f"{quote(self.id)}:{quote(self.secret)}".encode()
        return {"authorization": f"Basic {base64.b64encode(told).decode()}"}

    def asking(self, challenge: str, **more: str) -> dict[str, str]:
        """The parameters of an authorization request; one that is empty is left out."""
        asked = {
            "response_type": "code",
            "client_id": self.id,
            "redirect_uri": self.redirect,
            "scope": "openid email orders.read",
            "state": "s-1",
            "nonce": "n-1",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return {name: value for name, value in (asked | more).items() if value}


async def register(auth: Auth, tenant: Tenant, **wanted: Any) -> Client:
    """A client of the tenant; confidential, for code and refresh, unless told otherwise."""
    told: dict[str, Any] = {
        "name": "Rota planner",
        "confidential": True,
        "redirect_uris": [REDIRECT],
        "grant_types": CODE_GRANTS,
        "scopes": SCOPES,
    } | wanted
    request = oauth_pb2.CreateClientRequest(client=oauth_pb2.OauthClient(**told))
    made = await auth.stub(admin(tenant)).CreateClient(request)
    return Client(made.id, made.secret, (told["redirect_uris"] or [""])[0])


@dataclass(frozen=True)
class Reply:
    """An answer."""

    status: int
    headers: Mapping[str, str]
    cookies: Sequence[str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(self.body)
        return found

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def location(self) -> str:
        return self.headers.get("location", "")

    @property
    def sent(self) -> dict[str, str]:
        """What the client gets with the browser."""
        return dict(parse_qsl(urlsplit(self.location).query))


class _Forms(HTMLParser):
    """Collects the fields of each form."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[dict[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        if tag == "form":
            self.forms.append({})
        elif tag == "input" and self.forms:
            self.forms[-1][str(told.get("name"))] = str(told.get("value") or "")


def forms(page: str) -> list[dict[str, str]]:
    """The forms of a page with the fields that they send."""
    parser = _Forms()
    parser.feed(page)
    return parser.forms


async def call(
    auth: Auth,
    method: str,
    path: str,
    parameters: Mapping[str, str] | str = "",
    headers: Mapping[str, str] | None = None,
    *,
    query: str = "",
) -> Reply:
    """What the gateway would pass on, and what it would answer."""
    text = parameters if isinstance(parameters, str) else urlencode(parameters)
    sent = dict(headers or {})
    if method == "POST":
        sent.setdefault("content-type", "application/x-www-form-urlencoded")
    request = http_pb2.HttpRequest(
        method=method,
        path=path,
        query=text if method == "GET" else query,
        body=text.encode() if method == "POST" else b"",
        headers=[http_pb2.HttpHeader(name=name, value=value) for name, value in sent.items()],
    )
    rpc = {
        ("GET", "/oauth/authorize"): "Authorize",
        ("POST", "/oauth/authorize"): "AnswerAuthorize",
        ("POST", "/oauth/token"): "Token",
        ("POST", "/oauth/revoke"): "Revoke",
        ("POST", "/oauth/introspect"): "Introspect",
        ("GET", "/oauth/userinfo"): "Userinfo",
        ("POST", "/oauth/userinfo"): "PostUserinfo",
    }[method, path]
    answer = await getattr(auth.stub(), rpc)(request)
    cookies = [each.value for each in answer.headers if each.name == "set-cookie"]
    told = {each.name: each.value for each in answer.headers if each.name != "set-cookie"}
    return Reply(answer.status or 200, told, cookies, answer.body)


@dataclass
class Browser:
    """A browser: it keeps cookies and fills in forms."""

    auth: Auth
    jar: dict[str, str] = field(default_factory=dict)

    async def get(self, parameters: Mapping[str, str] | str) -> Reply:
        return self._kept(await call(self.auth, "GET", "/oauth/authorize", parameters, self._headers()))

    async def post(self, parameters: Mapping[str, str] | str) -> Reply:
        return self._kept(await call(self.auth, "POST", "/oauth/authorize", parameters, self._headers()))

    async def fill(self, page: Reply, form: int = 0, **values: str) -> Reply:
        """Fill in a form of a page and send it."""
        return await self.post(forms(page.text)[form] | values)

    async def sign_in(self, page: Reply, person: Person, password: str = PASSWORD) -> Reply:
        return await self.fill(page, email=person.email, password=password)

    async def allow(self, asked: Mapping[str, str], person: Person) -> Reply:
        """All the way to the client, through whatever page comes."""
        reply = await self.get(asked)
        if reply.status == 200 and "password" in forms(reply.text)[0]:
            reply = await self.sign_in(reply, person)
        return await self.fill(reply, answer="allow") if reply.status == 200 else reply

    def _headers(self) -> dict[str, str]:
        return {"cookie": "; ".join(f"{name}={value}" for name, value in self.jar.items())} if self.jar else {}

    def _kept(self, reply: Reply) -> Reply:
        for cookie in reply.cookies:
            name, _, value = cookie.partition(";")[0].partition("=")
            self.jar[name] = value
        return reply


async def exchange_code(auth: Auth, client: Client, code: str, chosen: str, **more: str) -> Reply:
    """What a client does with a code."""
    told = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": client.redirect,
        "code_verifier": chosen,
    } | more
    return await ask_token(auth, client, **told)


async def ask_token(auth: Auth, client: Client, **told: str) -> Reply:
    """A token request of a client."""
    named = told if client.secret else {"client_id": client.id} | told
    given = {name: value for name, value in named.items() if value}
    return await call(auth, "POST", "/oauth/token", given, client.basic)


async def tokens(auth: Auth, client: Client, person: Person, **asked: str) -> dict[str, Any]:
    """What a client has after a person has allowed it."""
    chosen, challenge = verifier()
    reply = await Browser(auth).allow(client.asking(challenge, **asked), person)
    given = await exchange_code(auth, client, reply.sent["code"], chosen)
    assert given.status == 200, given.text
    return given.json
