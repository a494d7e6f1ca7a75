"""An auth process: `python -m services.auth`."""

from switchyard.tenants.v1.sites_pb2_grpc import SitesServiceStub

from chassis import resealing
from chassis.service import Service
from services.auth import passwords, post, tokens, work
from services.auth.events import HANDLERS
from services.auth.keys import RELOAD_S, Keyring
from services.auth.letters import Letters
from services.auth.models import Base
from services.auth.passkeys import Party
from services.auth.permissions import Catalogue
from services.auth.rpc.access import AccessRpc
from services.auth.rpc.auth import AuthRpc
from services.auth.rpc.door import Door
from services.auth.rpc.factors import FactorsRpc
from services.auth.rpc.keys import KeysRpc
from services.auth.rpc.oauth import OauthRpc
from services.auth.rpc.users import UsersRpc
from services.auth.settings import AuthSettings
from services.auth.sites import Sites


def build(service: Service) -> None:
    """Wire the parts."""
    settings = service.settings
    assert isinstance(settings, AuthSettings)
    master, previous = settings.auth_master_key, settings.auth_master_key_previous
    vault = resealing.vault(service, Base, master=master, previous=previous)
    keyring = Keyring(vault, settings.public_url)
    letters = Letters(vault)
    hasher = passwords.Hasher(memory_kib=settings.argon2_memory_kib, time_cost=settings.argon2_time_cost)
    uses = tokens.Uses()
    own = work.Work(service.database, settings=settings, keyring=keyring, hasher=hasher, uses=uses)
    pager = service.pager()
    door = Door(service.database, vault, keyring, hasher, letters, Party.of(settings))
    service.serve(FactorsRpc(door))
    catalogue = Catalogue(settings.registry_address)
    sites = Sites(SitesServiceStub(service.channel("tenants")))
    service.serve(
        AuthRpc(service.database, settings=settings, keyring=keyring, door=door, uses=uses, pager=pager, sites=sites)
    )
    service.serve(UsersRpc(service.database, hasher=hasher, keyring=keyring, letters=letters, pager=pager, sites=sites))
    service.serve(AccessRpc(catalogue=catalogue, pager=pager))
    service.serve(OauthRpc(service.database, keyring=keyring, door=door, pager=pager, sites=sites))
    service.serve(KeysRpc(vault=vault, keyring=keyring))
    service.needs(keyring.loaded)
    service.background(own.start())
    service.background(catalogue.run())
    service.handle(HANDLERS)
    service.every(RELOAD_S, own.load_keys)
    service.every(work.USES_EVERY_S, own.write_uses)
    service.every(post.EVERY_S, post.Post(service.database, vault, letters, settings).send)
    service.every(work.FORGET_EVERY_S, own.forget)


if __name__ == "__main__":
    Service("auth", AuthSettings.load()).run(build)
