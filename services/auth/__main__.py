"""An auth process: `python -m services.auth`."""

from chassis import resealing
from chassis.service import Service
from services.auth import passwords, post, work
from services.auth.events import HANDLERS
from services.auth.keys import RELOAD_S, Keyring
from services.auth.letters import Letters
from services.auth.models import Base
from services.auth.permissions import Catalogue
from services.auth.rpc.parts import Parts
from services.auth.settings import AuthSettings


def build(service: Service) -> None:
    """Wire the parts."""
    settings = service.settings
    assert isinstance(settings, AuthSettings)
    master, previous = settings.auth_master_key, settings.auth_master_key_previous
    vault = resealing.vault(service, Base, master=master, previous=previous)
    keyring, letters = Keyring(vault, settings.public_url), Letters(vault)
    hasher = passwords.Hasher(memory_kib=settings.argon2_memory_kib, time_cost=settings.argon2_time_cost)
    parts = Parts(service, settings, vault, keyring, hasher, letters, Catalogue(settings.registry_address))
    for servicer in parts.servicers():
        service.serve(servicer)
    own = work.Work(service.database, settings=settings, keyring=keyring, hasher=hasher, uses=parts.uses)
    service.needs(keyring.loaded)
    service.background(own.start())
    service.background(parts.catalogue.run())
    service.handle(HANDLERS)
    service.every(RELOAD_S, own.load_keys)
    service.every(work.USES_EVERY_S, own.write_uses)
    service.every(post.EVERY_S, post.Post(service.database, vault, letters, settings).send)
    service.every(work.FORGET_EVERY_S, own.forget)


if __name__ == "__main__":
    Service("auth", AuthSettings.load()).run(build)
