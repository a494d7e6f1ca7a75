"""A service's life, seen with the smallest one there is."""

from chassis.testing import Serve, Tenant


class TestServe:
    async def test_a_service_without_methods_becomes_ready(self, serve: Serve) -> None:
        running = await serve("tests", lambda _service: None)

        assert running.service.ready.is_set()

    async def test_tenants_differ(self, tenant: Tenant) -> None:
        other = Tenant()

        assert tenant.id != other.id
