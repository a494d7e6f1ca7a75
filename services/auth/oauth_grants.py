"""Authlib's grants and endpoints, as far as they are ours.

Authlib judges requests synchronously. Its hooks run in the greenlet of `AsyncSession.run_sync`, where `await_only`
waits for what is asynchronous: no thread, and one transaction for all that a request does.
"""

from collections.abc import Mapping
from typing import Any

from authlib.oauth2.rfc6749 import (
    BaseGrant,
    ClientMixin,
    InvalidRequestError,
    OAuth2Request,
    TokenEndpointMixin,
    UnauthorizedClientError,
)
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, ClientCredentialsGrant, RefreshTokenGrant
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core.grants import OpenIDToken
from joserfc.jwk import RSAKey
from sqlalchemy.util import await_only

from chassis import clock
from services.auth import oauth_clients, oauth_granting, oauth_redirects, oauth_scopes
from services.auth.keys import ID_TOKENS, Keyring
from services.auth.oauth_granting import Held, Issued, Person
from services.auth.oauth_models import OauthClient, OauthCode

ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name
BASIC = "client_secret_basic"
POST = "client_secret_post"
NONE = "none"
# How a client may prove itself, tried in this order.
PROOFS = (BASIC, POST, NONE)
SECRETS = (BASIC, POST)
ID_TOKEN_S = 600


class Client(ClientMixin):  # type: ignore[misc] # authlib ships no types
    """A client as authlib asks it. One of a suspended tenant may nothing."""

    def __init__(self, row: OauthClient, *, suspended: bool) -> None:
        self.row = row
        self._suspended = suspended

    def get_client_id(self) -> str:
        return str(self.row.id)

    def get_default_redirect_uri(self) -> None:
        """A request must say where it wants to go (OpenID Connect Core, 3.1.2.1)."""

    def get_allowed_scope(self, scope: str | None) -> str | None:
        wanted = oauth_scopes.listed(scope) or list(self.row.scopes)
        return " ".join(wanted) if oauth_scopes.all_covered(wanted, self.row.scopes) else None

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return oauth_redirects.is_registered(redirect_uri, self.row.redirect_uris)

    def check_client_secret(self, client_secret: str) -> bool:
        return oauth_clients.knows_secret(self.row, client_secret)

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        return (method == NONE) != self.row.confidential

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code" and oauth_clients.CODE in self.row.grant_types

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in self.row.grant_types and not self._suspended


class Pkce(CodeChallenge):  # type: ignore[misc]
    """PKCE with S256, by everybody (RFC 9700, section 2.1.1)."""

    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        given = grant.request.payload.data
        if not given.get("code_challenge") or given.get("code_challenge_method") != "S256":
            message = "PKCE with the method S256 is required"
            raise InvalidRequestError(message)
        super().validate_code_challenge(grant, redirect_uri)

    def get_authorization_code_challenge_method(self, _code: OauthCode) -> str:
        return "S256"


class Code(AuthorizationCodeGrant):  # type: ignore[misc]
    """The authorization code grant."""

    TOKEN_ENDPOINT_AUTH_METHODS = PROOFS

    @staticmethod
    def validate_authorization_redirect_uri(request: OAuth2Request, client: Client) -> str:
        # Authlib would repeat a wrong one in the error.
        uri: str = request.payload.redirect_uri or ""
        if not client.check_redirect_uri(uri):
            message = "The redirect_uri is not registered for this client."
            raise InvalidRequestError(message)
        return uri

    def generate_authorization_code(self) -> str:
        request = self.request
        asked = dict(request.payload.data) | {"scope": request.scope}
        return await_only(oauth_granting.keep_code(self.server.session, request.client.row, request.user, asked))

    def save_authorization_code(self, code: str, request: OAuth2Request) -> None:
        """It was kept when it was made."""

    def query_authorization_code(self, code: str, client: Client) -> OauthCode | None:
        return await_only(oauth_granting.find_code(self.server.session, client.row, code))

    def authenticate_user(self, code: OauthCode) -> OauthCode:
        return code

    def generate_token(self, user: OauthCode, **_asked: object) -> dict[str, Any]:
        spending = oauth_granting.from_code(self.server.session, self.server.keyring, self.client.row, user)
        return _told(self.request, await_only(spending))

    def save_token(self, token: Mapping[str, Any]) -> None:
        """It was spent for a session before."""

    def delete_authorization_code(self, authorization_code: OauthCode) -> None:
        """It is kept, to know a replay."""


class Refresh(RefreshTokenGrant):  # type: ignore[misc]
    """The refresh token grant, with rotation."""

    TOKEN_ENDPOINT_AUTH_METHODS = PROOFS
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> Held | None:
        return await_only(oauth_granting.find_refresh(self.server.session, refresh_token))

    def _validate_token_scope(self, token: Held) -> None:
        self._scopes = oauth_granting.narrowed(self.request.payload.scope, token.row.scopes or ())

    def authenticate_user(self, refresh_token: Held) -> Held:
        return refresh_token

    def issue_token(self, _user: Held, refresh_token: Held) -> dict[str, Any]:
        refreshing = oauth_granting.from_refresh(
            self.server.session, self.server.keyring, self.client.row, refresh_token, self._scopes
        )
        return _told(self.request, await_only(refreshing))

    def save_token(self, _token: Mapping[str, Any]) -> None:
        # Authlib has put what it calls the user here meanwhile, for which it took the token.
        self.request.user = self.request.person

    def revoke_old_credential(self, refresh_token: Held) -> None:
        """It is spent already."""


class Credentials(ClientCredentialsGrant):  # type: ignore[misc]
    """The client credentials grant."""

    TOKEN_ENDPOINT_AUTH_METHODS = SECRETS

    def generate_token(self, scope: str | None = None, **_asked: object) -> dict[str, Any]:
        client = self.client.row
        wanted = oauth_granting.narrowed(scope, oauth_scopes.permissions(client.scopes))
        issuing = oauth_granting.from_credentials(self.server.session, self.server.keyring, client, wanted)
        return _told(self.request, await_only(issuing))

    def save_token(self, token: Mapping[str, Any]) -> None:
        """There is nothing to keep."""


class Exchange(BaseGrant, TokenEndpointMixin):  # type: ignore[misc]
    """The token exchange grant (RFC 8693), access token for access token."""

    GRANT_TYPE = oauth_clients.EXCHANGE
    TOKEN_ENDPOINT_AUTH_METHODS = SECRETS

    def validate_token_request(self) -> None:
        client = self.authenticate_token_endpoint_client()
        if not client.check_grant_type(self.GRANT_TYPE):
            message = "The client may not exchange tokens"
            raise UnauthorizedClientError(message)
        given = self.request.form
        if not given.get("subject_token") or given.get("subject_token_type") != ACCESS_TOKEN_TYPE:
            message = "A subject_token of the type access_token is required"
            raise InvalidRequestError(message)
        if given.get("requested_token_type", ACCESS_TOKEN_TYPE) != ACCESS_TOKEN_TYPE or "actor_token" in given:
            message = "Access tokens are given for access tokens, and the client itself is the actor"
            raise InvalidRequestError(message)
        self.request.client = client

    def create_token_response(self) -> tuple[int, dict[str, Any], Any]:
        client = self.client.row
        wanted = oauth_granting.narrowed(self.request.payload.scope, client.scopes)
        named = wanted if self.request.payload.scope else []
        subject = self.request.form["subject_token"]
        exchanging = oauth_granting.from_token(self.server.session, self.server.keyring, client, subject, named)
        told = _told(self.request, await_only(exchanging)) | {"issued_token_type": ACCESS_TOKEN_TYPE}
        return 200, told, self.TOKEN_RESPONSE_HEADER


class IdToken(OpenIDToken):  # type: ignore[misc]
    """The ID token that comes with tokens for `openid`."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def resolve_client_private_key(self, _client: Client) -> RSAKey:
        return self._keyring.id_token_key

    def get_client_algorithm(self, _client: Client) -> str:
        return ID_TOKENS

    def get_encode_header(self, _client: Client) -> dict[str, Any]:
        return {"alg": ID_TOKENS, "kid": self._keyring.id_token_key.kid, "typ": "JWT"}

    def get_compatible_claims(self, request: OAuth2Request) -> dict[str, Any]:
        now = int(clock.now().timestamp())
        return {
            "iss": self._keyring.issuer,
            "aud": request.client.get_client_id(),
            "iat": now,
            "exp": now + ID_TOKEN_S,
            "auth_time": int(request.user.authenticated_at.timestamp()),
        }

    def get_authorization_code_claims(self, code: OauthCode) -> dict[str, Any]:
        return {"nonce": code.nonce} if code.nonce else {}

    def generate_user_info(self, user: Person, scope: str) -> dict[str, Any]:
        return about(user, scope.split())


def about(person: Person, scopes: list[str]) -> dict[str, Any]:
    """What the scopes let a client know of somebody."""
    told: dict[str, Any] = {"sub": str(person.id)}
    if oauth_scopes.PROFILE in scopes:
        told["name"] = person.name
    if oauth_scopes.EMAIL in scopes:
        told["email"] = person.email
    return told


def _told(request: OAuth2Request, issued: Issued) -> dict[str, Any]:
    """The answer; the ID token's maker finds its person in the request."""
    request.user = request.person = issued.person
    told = {
        "access_token": issued.access_token,
        "token_type": "Bearer",
        "expires_in": issued.token.left_s,
        "scope": " ".join(issued.scopes),
    }
    return told | ({"refresh_token": issued.refresh_token} if issued.refresh_token else {})
