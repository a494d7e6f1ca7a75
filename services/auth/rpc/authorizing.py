"""The pages of the authorization endpoint. Signing in opens transactions of its own, as `Login` does."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from switchyard.common.v1 import http_pb2

from chassis import audit, call, clock, errors
from chassis.db import Database
from chassis.identity import PLATFORM, Principal
from services.auth import oauth, oauth_authorizing, oauth_pages, oauth_store, sessions, store, users
from services.auth.keys import Keyring
from services.auth.oauth import Provider
from services.auth.oauth_browser import Browser, Cookies
from services.auth.oauth_http import Answer, Asked
from services.auth.oauth_pages import Page
from services.auth.rpc.door import Door
from services.auth.store import Found

_WRONG = "The e-mail address or the password is wrong."
_WRONG_CODE = "This code is wrong, or was used before."
_TOO_LATE = "That took too long. Sign in again."
_NOT_OURS = "This page was not made by us for you, or you signed in elsewhere meanwhile. Nothing was done."
_MFA_REQUIRED = "MFA_REQUIRED"


@dataclass(frozen=True)
class Visit:
    """One request of a browser: what it asks, who is signed in there, and the cookies that it gets."""

    asked: Asked
    browser: Browser | None
    form: str
    cookies: Sequence[str] = ()


class Authorizing:
    """Serves the pages."""

    def __init__(self, database: Database, *, keyring: Keyring, door: Door) -> None:
        self._database = database
        self._keyring = keyring
        self._door = door
        self._cookies = Cookies(keyring)
        self._steps: dict[str, Callable[[Visit], Awaitable[http_pb2.HttpResponse]]] = {
            "sign-in": self._sign_in,
            "code": self._check_code,
            "consent": self._consent,
            "switch": self._ask_again,
        }

    async def ask(self, asked: Asked) -> http_pb2.HttpResponse:
        """A client has sent somebody here."""
        return await self._proceed(await self._visit(asked))

    async def answer(self, asked: Asked) -> http_pb2.HttpResponse:
        """They have filled in a page of ours."""
        visit = await self._visit(asked)
        if "step" not in asked.parameters:
            return await self._proceed(visit)
        step = self._steps.get(asked.get("step"))
        bound = oauth_authorizing.bound(asked)
        if (
            asked.repeated
            or step is None
            or not self._cookies.is_ours(asked.get("form"), visit.form, visit.browser, bound)
        ):
            return await self._not_ours(visit)
        return await step(visit)

    async def _visit(self, asked: Asked) -> Visit:
        form = self._cookies.form_of(asked.cookies)
        return Visit(asked, await self._browser(asked), form)

    async def _browser(self, asked: Asked) -> Browser | None:
        session_id = self._cookies.session_of(asked.cookies)
        if session_id is None:
            return None
        rows = await self._database.read(store.STANDING_OF_SESSION, PLATFORM, session=session_id)
        if not rows or rows[0]["client_id"] or rows[0]["actor"] or rows[0]["expires_at"] <= clock.now():
            return None
        return Browser(session_id, UUID(str(rows[0]["user_id"])), rows[0]["authenticated_at"])

    async def _proceed(self, visit: Visit, answered: str = "") -> http_pb2.HttpResponse:
        suspended = await act_for_client(self._database, visit.asked)
        async with self._database.transaction() as session:
            provider = Provider(session, self._keyring, suspended=suspended)
            outcome = await oauth_authorizing.authorize(provider, visit.asked, visit.browser, answered)
        return self._sent(visit, outcome)

    async def _sign_in(self, visit: Visit) -> http_pb2.HttpResponse:
        asked = visit.asked
        email = users.normalised(asked.get("email"))
        try:
            found, method = await self._door.recognise(email, asked.get("password"), "")
        except errors.Unauthenticated as failure:
            if failure.code == _MFA_REQUIRED:
                return await self._ask_for_code(visit)
            await self._note(failure)
            return await self._ask_again(visit, _WRONG, 401)
        except errors.Exhausted as failure:
            await self._note(failure)
            return await self._ask_again(visit, _wait(failure), 429)
        return await self._enter(visit, found, method)

    async def _ask_for_code(self, visit: Visit) -> http_pb2.HttpResponse:
        # Whose password it was, the sign-in has noted for the trail.
        user_id = call.current().principal.on_behalf_of.removeprefix("user:")
        found = await self._door.find(UUID(user_id))
        ticket = self._cookies.ticket(visit.form, found.id, found.password_hash)
        return self._sent(visit, oauth_authorizing.code(visit.asked, ticket))

    async def _check_code(self, visit: Visit) -> http_pb2.HttpResponse:
        ticket = visit.asked.get("ticket")
        holder = self._cookies.holder(ticket)
        try:
            found = await self._door.find(holder) if holder else None
            if found is None or not self._cookies.is_good(ticket, visit.form, found.password_hash):
                return await self._ask_again(visit, _TOO_LATE, 401)
            await self._door.admit(found.email)
            method = await self._door.second(found, visit.asked.get("otp"))
        except errors.Unauthenticated as failure:
            await self._note(failure)
            return self._sent(visit, oauth_authorizing.code(visit.asked, ticket, problem=_WRONG_CODE, status=401))
        except errors.Exhausted as failure:
            await self._note(failure)
            return self._sent(visit, oauth_authorizing.code(visit.asked, ticket, problem=_wait(failure), status=429))
        return await self._enter(visit, found, method)

    async def _enter(self, visit: Visit, found: Found, method: str) -> http_pb2.HttpResponse:
        """Whoever signs in gets cookies that nobody knew before, and whoever was signed in there is so no more."""
        before = visit.browser
        signed_in = await self._door.let_in(found, found.email, method=method, device_id="")
        if before is not None:
            call.current().principal = Principal("user", str(before.user_id), None, str(before.session_id))
            async with self._database.transaction() as session:
                await sessions.end(session, before.user_id, reason="ended", only=before.session_id)
        row = signed_in.row
        form, cookie = self._cookies.new_form()
        browser = Browser(row.id, row.user_id, row.authenticated_at, fresh=True)
        return await self._proceed(Visit(visit.asked, browser, form, (cookie, self._cookies.for_session(row.id))))

    async def _consent(self, visit: Visit) -> http_pb2.HttpResponse:
        answer = visit.asked.get("answer")
        allowed = answer == oauth_authorizing.ALLOW and visit.browser is not None
        return await self._proceed(visit, oauth_authorizing.ALLOW if allowed else oauth_authorizing.DENY)

    async def _ask_again(self, visit: Visit, problem: str = "", status: int = 200) -> http_pb2.HttpResponse:
        await act_for_client(self._database, visit.asked)
        async with self._database.transaction() as session:
            client_id = visit.asked.client_id
            client = await oauth_store.find_client(session, client_id) if client_id else None
            page = await oauth_authorizing.sign_in(session, visit.asked, client, problem=problem, status=status)
        return self._sent(visit, page)

    async def _not_ours(self, visit: Visit) -> http_pb2.HttpResponse:
        await act_for_client(self._database, visit.asked)
        if visit.browser is not None:
            principal = call.current().principal
            told = principal.tenant_id, str(visit.browser.session_id)
            call.current().principal = Principal("anonymous", "", *told, on_behalf_of=f"user:{visit.browser.user_id}")
        await self._note(errors.Unauthenticated(code="FORM_NOT_OURS"))
        return self._sent(visit, oauth_authorizing.error(_NOT_OURS, 400))

    async def _note(self, failure: errors.Error) -> None:
        async with self._database.transaction() as session:
            audit.add(session, outcome=audit.FAILURE, error_code=failure.code)

    def _sent(self, visit: Visit, outcome: Answer | Page) -> http_pb2.HttpResponse:
        if isinstance(outcome, Answer):
            return outcome.to_message(cookies=visit.cookies)
        form, cookies = visit.form, list(visit.cookies)
        if not form:
            form, cookie = self._cookies.new_form()
            cookies.append(cookie)
        token = self._cookies.token(form, visit.browser, oauth_authorizing.bound(visit.asked))
        outcome.told["token"] = token
        return oauth_pages.drawn(outcome).to_message(cookies=cookies)


async def act_for_client(database: Database, asked: Asked) -> bool:
    """Act in the tenant of the client that a request names, without believing it; whether the tenant is suspended."""
    client_id = asked.client_id
    rows = client_id and await database.read(oauth_store.STANDING_OF_CLIENT, PLATFORM, client=client_id)
    tenant_id = UUID(str(rows[0]["tenant_id"])) if rows else None
    call.current().principal = oauth.claimed(client_id, tenant_id)
    return bool(rows and rows[0]["suspended"])


def _wait(failure: errors.Exhausted) -> str:
    return f"Too many attempts. Try again in {int(failure.retry_after_s or 1) + 1} seconds."
