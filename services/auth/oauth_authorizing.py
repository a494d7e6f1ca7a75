"""Whether a person lets a client act for them: what is asked, what still stands in the way, and the code at the end.

What is wrong before the client and its redirect URI are known is told to the person and never redirected; what is wrong
after that goes back to the client.
"""

from dataclasses import dataclass
from urllib.parse import urlencode

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import AccessDeniedError, InvalidRequestError
from authlib.oidc.core.errors import (
    ConsentRequiredError,
    InteractionRequiredError,
    LoginRequiredError,
    RequestNotSupportedError,
    RequestURINotSupportedError,
)
from sqlalchemy.ext.asyncio import AsyncSession

from chassis import call, clock
from chassis.identity import Principal
from services.auth import (
    oauth,
    oauth_clients,
    oauth_granting,
    oauth_pages,
    oauth_redirects,
    oauth_scopes,
    oauth_store,
    sessions,
    store,
)
from services.auth.oauth import Provider
from services.auth.oauth_browser import Browser
from services.auth.oauth_granting import Person
from services.auth.oauth_http import Answer, Asked
from services.auth.oauth_models import OauthClient
from services.auth.oauth_pages import Page

# What a request may say; forms carry it, and what a person allows is bound to it.
PARAMETERS = (
    "response_type",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "prompt",
    "max_age",
    "login_hint",
    "response_mode",
    "request",
    "request_uri",
)
_PROMPTS = frozenset({"none", "login", "consent", "select_account"})
ALLOW = "allow"
DENY = "deny"
# A year; longer than a session lives.
_AGE_MAX_S = 366 * 24 * 3600
# It is kept with the code; clients make some dozens of characters.
_NONCE_LEN_MAX = 1024


@dataclass(frozen=True)
class Wanted:
    """What a valid request asks for."""

    client: OauthClient
    redirect_uri: str
    scopes: list[str]
    prompts: frozenset[str]
    max_age_s: int | None


def kept(asked: Asked) -> dict[str, str]:
    """What of a request its pages keep."""
    return {name: asked.parameters[name] for name in PARAMETERS if name in asked.parameters}


def bound(asked: Asked) -> str:
    """The request that a form is bound to."""
    return urlencode(kept(asked))


async def authorize(provider: Provider, asked: Asked, browser: Browser | None, answered: str = "") -> Answer | Page:
    """A code for the client, an error for it, or the page that is between. `answered`: what the consent page was."""
    if fault := oauth.fault_of(asked):
        return _page(provider, InvalidRequestError(fault))
    grant = None
    try:
        grant = await provider.run(lambda: provider.get_consent_grant(asked))
        wanted = _wanted(grant, asked)
        found = await _decide(provider, asked, wanted, browser, answered)
        if isinstance(found, Page):
            return found
        answer: Answer = await provider.run(
            lambda: provider.create_authorization_response(grant.request, grant_user=found, grant=grant)
        )
    except OAuth2Error as error:
        error.state = asked.get("state")
        error.redirect_uri = grant.redirect_uri if grant is not None else error.redirect_uri
        if not error.redirect_uri:
            return _page(provider, error)
        if not isinstance(error, (LoginRequiredError, ConsentRequiredError)):
            oauth.refused(provider.session, str(error.error))
        answer = provider.handle_error_response(None, error)
    return answer


def _wanted(grant: object, asked: Asked) -> Wanted:
    """Raises `OAuth2Error` for what the client could have known not to work."""
    if asked.get("request"):
        raise RequestNotSupportedError
    if asked.get("request_uri"):
        raise RequestURINotSupportedError
    if asked.get("response_mode") not in {"", "query"}:
        message = "The response_mode is not supported"
        raise InvalidRequestError(message)
    prompts = frozenset(asked.get("prompt").split())
    if prompts - _PROMPTS or ("none" in prompts and len(prompts) > 1):
        message = "The prompt is not valid"
        raise InvalidRequestError(message)
    if len(asked.get("nonce")) > _NONCE_LEN_MAX:
        message = "The nonce is too long"
        raise InvalidRequestError(message)
    age = asked.get("max_age")
    if age and not (age.isascii() and age.isdigit() and int(age[:10]) <= _AGE_MAX_S):
        message = "The max_age is not valid"
        raise InvalidRequestError(message)
    request = grant.request  # type: ignore[attr-defined] # authlib ships no types
    return Wanted(
        client=request.client.row,
        redirect_uri=asked.get("redirect_uri"),
        scopes=request.scope.split(),
        prompts=prompts,
        max_age_s=int(age) if age else None,
    )


async def _decide(
    provider: Provider, asked: Asked, wanted: Wanted, browser: Browser | None, answered: str
) -> Person | Page | None:
    """Who allows it, or nobody, or the page that asks."""
    if provider.suspended:
        raise AccessDeniedError
    silent = "none" in wanted.prompts
    if browser is None or (not answered and _must_sign_in(wanted, browser)):
        if silent:
            raise LoginRequiredError
        return await sign_in(provider.session, asked, wanted.client)
    person = await _person(provider.session, wanted.client, browser)
    if person is None:
        if silent:
            raise InteractionRequiredError
        problem = "This account cannot be used here. Sign in with another one."
        return await sign_in(provider.session, asked, wanted.client, problem=problem, status=403)
    if answered == DENY:
        return None
    if answered == ALLOW:
        await _remember(provider.session, wanted, person)
    elif await _must_ask(provider.session, wanted, person):
        if silent:
            raise ConsentRequiredError
        return await _consent(provider.session, asked, wanted, person)
    return person


def _must_sign_in(wanted: Wanted, browser: Browser) -> bool:
    if browser.fresh:
        return False
    age_s = (clock.now() - browser.authenticated_at).total_seconds()
    too_old = wanted.max_age_s is not None and age_s > wanted.max_age_s
    return too_old or bool(wanted.prompts & {"login", "select_account"})


async def _must_ask(session: AsyncSession, wanted: Wanted, person: Person) -> bool:
    client = wanted.client
    if "consent" in wanted.prompts:
        return True
    # Anybody on the same machine can be a client without a secret on its loopback interface (RFC 8252, 8.6).
    if not (client.confidential or wanted.redirect_uri.startswith("https:")):
        return True
    return not client.trusted and not set(wanted.scopes) <= set(
        await oauth_store.consented(session, person.id, client.id)
    )


async def _person(session: AsyncSession, client: OauthClient, browser: Browser) -> Person | None:
    """Who is signed in, if they may use the client. From now on the transaction, and its trail, name them."""
    if not await oauth_granting.member(session, browser.user_id, client.tenant_id):
        return None
    await store.act_as(session, browser.user_id)
    account = await store.account(session, browser.user_id)
    if account is None:
        return None
    told = str(browser.user_id), client.tenant_id, str(browser.session_id)
    call.current().principal = Principal("user", *told)
    return Person(account.id, account.email, account.name, browser.authenticated_at)


async def _remember(session: AsyncSession, wanted: Wanted, person: Person) -> None:
    values = {
        "tenant_id": wanted.client.tenant_id,
        "user_id": person.id,
        "client_id": wanted.client.id,
        "scopes": wanted.scopes,
        "given_at": clock.now(),
    }
    await oauth_store.remember_consent(session, values)


async def sign_in(
    session: AsyncSession, asked: Asked, client: OauthClient | None, *, problem: str = "", status: int = 200
) -> Page:
    """The page that asks for e-mail address and password."""
    told = {
        "asked": kept(asked),
        "client": client.name if client else "the application",
        "tenant": await oauth_store.tenant_name(session, client.tenant_id) if client else "",
        "email": asked.get("email") or asked.get("login_hint"),
        "problem": problem,
    }
    return Page(oauth_pages.SIGN_IN, status, told, _origin(asked, client))


def code(asked: Asked, ticket: str, *, problem: str = "", status: int = 200) -> Page:
    """The page that asks for a one-time code. Where it leads was checked when its form was made."""
    told = {"asked": kept(asked), "ticket": ticket, "problem": problem}
    return Page(oauth_pages.CODE, status, told, oauth_redirects.origin(asked.get("redirect_uri")))


def error(problem: str, status: int, code: str = "") -> Page:
    """The page that tells what went wrong."""
    return Page(oauth_pages.ERROR, status, {"problem": problem, "error": code})


async def _consent(session: AsyncSession, asked: Asked, wanted: Wanted, person: Person) -> Page:
    goes_to = oauth_redirects.origin(wanted.redirect_uri)
    told = {
        "asked": kept(asked),
        "client": wanted.client.name,
        "tenant": await oauth_store.tenant_name(session, wanted.client.tenant_id),
        "account": person.email,
        "wanted": oauth_scopes.worded(wanted.scopes),
        "goes_to": goes_to,
        "lasts": _lasts(wanted),
    }
    return Page(oauth_pages.CONSENT, 200, told, goes_to)


def _lasts(wanted: Wanted) -> str:
    if oauth_clients.REFRESH not in wanted.client.grant_types:
        return f"for {sessions.ACCESS_S // 60} minutes"
    idle_s = sessions.LIFE_REMEMBERED_S if oauth_scopes.OFFLINE in wanted.scopes else sessions.LIFE_S
    return f"until it has not been used for {idle_s // 3600} hours, and for {sessions.AGE_MAX_S // 86400} days at most"


def _origin(asked: Asked, client: OauthClient | None) -> str:
    """Where the form may lead in the end, if that is the client's."""
    uri = asked.get("redirect_uri")
    return oauth_redirects.origin(uri) if client and oauth_redirects.is_registered(uri, client.redirect_uris) else ""


def _page(provider: Provider, failure: OAuth2Error) -> Page:
    name = str(failure.error)
    oauth.refused(provider.session, name)
    return error(failure.get_error_description() or "The request is not valid.", 400, name)
