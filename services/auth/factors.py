"""Factors of an account, whatever their kind: who may change them, what sign-in asks for, who is told."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from chassis import call, clock, errors
from chassis.encryption import Vault
from services.auth import factor_store, letters, store, totp
from services.auth.letters import Letters
from services.auth.models import Account, Session

PASSWORD = "password"  # noqa: S105 - a method
OTP = "otp"
PASSKEY = "passkey"
BIOMETRIC = "biometric"


async def person(session: AsyncSession) -> Account:
    """The caller, whom the transaction names from now on.

    Raises `Denied` for a session that is not wholly theirs: one of an application, or one that somebody else vouched
    for. Through neither can it be changed how a person signs in.
    """
    principal = call.current().principal
    await store.act_as(session, UUID(principal.id))
    account = await store.account(session, UUID(principal.id))
    row = await session.get(Session, UUID(principal.session_id)) if principal.session_id else None
    if account is None or row is None or row.user_id != account.id:
        message = "only a session of your own can do this"
        raise errors.Denied(message)
    if row.client_id is not None or row.tenant_id is not None or row.actor:
        message = "this session cannot change how you sign in"
        raise errors.Denied(message)
    return account


async def second(session: AsyncSession, vault: Vault, by: Letters, user_id: UUID, otp: str) -> str:
    """How a person signs in whose password was right; the code that they give besides is used up.

    Raises `Unauthenticated`, with the code `MFA_REQUIRED` where a code is asked for and none is given.
    """
    await store.act_as(session, user_id)
    if not (await factor_store.held(session, user_id)).totp:
        return PASSWORD
    if not otp:
        raise required()
    if not await use_code(session, vault, by, user_id, otp):
        raise errors.Unauthenticated("the one-time code is wrong")
    return OTP


async def use_code(session: AsyncSession, vault: Vault, by: Letters, user_id: UUID, otp: str) -> bool:
    """Use a one-time or recovery code of the person the transaction has named; whether it was good and unused."""
    seed = await factor_store.seed(session, user_id)
    if seed is None or not await totp.use(session, vault, user_id, seed, otp):
        return False
    if totp.is_recovery_code(otp):
        left = await factor_store.recovery_codes_left(session, user_id)
        account = await store.account(session, user_id)
        assert account is not None
        await tell(session, by, account, f"a recovery code was used, and {left} are left")
    return True


async def tell(session: AsyncSession, by: Letters, account: Account, change: str) -> None:
    """Write to a person that how they sign in has changed, or was used in a way that they should know."""
    told = {"change": change, "at": f"{clock.now():%Y-%m-%d %H:%M} UTC"}
    await by.write(session, to=account.email, kind=letters.FACTOR_CHANGED, name=account.name, told=told)


def required() -> errors.Unauthenticated:
    """The refusal of a password alone."""
    return errors.Unauthenticated("a one-time code or a passkey is required", code="MFA_REQUIRED")
