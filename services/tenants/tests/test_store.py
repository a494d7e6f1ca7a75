"""What the tables promise, whatever the code above them does."""

from typing import Any

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from services.tenants.models import Base
from services.tenants.tests.support import Company, for_station

WRITTEN = {"Oat": "#ffffff"}


async def _as_process(company: Company, tenant_id: object, sql: str, *values: object) -> Any:
    """Run a statement as a process of the service does, in a tenant."""
    connection = await asyncpg.connect(await company.databases.url("tenants"))
    try:
        await connection.execute("SELECT set_config('app.tenant_id', $1, false)", str(tenant_id))
        return await connection.fetch(sql, *values)
    finally:
        await connection.close()


async def _filled(company: Company) -> None:
    station = await company.station((await company.site()).id)
    await company.put("milk-colors", WRITTEN)
    await company.user().PutStationSetting(for_station(station.id, {"sound": True}))


class TestTables:
    async def test_show_nothing_of_another_tenant(self, company: Company) -> None:
        await _filled(company)
        tables = [table.name for table in Base.metadata.sorted_tables]

        seen = [await _as_process(company, uuid7(), f"SELECT 1 FROM {table}") for table in tables]

        assert (len(tables), seen) == (5, [[]] * 5)

    async def test_show_the_platform_tenants_alone(self, company: Company) -> None:
        await _filled(company)
        platform = "00000000-0000-0000-0000-000000000000"
        tables = [table.name for table in Base.metadata.sorted_tables]

        seen = {table for table in tables if await _as_process(company, platform, f"SELECT 1 FROM {table}")}

        assert seen == {"tenants"}

    async def test_hold_their_owner_to_it_too(self, company: Company) -> None:
        tables = [table.name for table in Base.metadata.sorted_tables]
        sql = "SELECT 1 FROM pg_class WHERE relname = ANY($1) AND relrowsecurity AND relforcerowsecurity"

        assert len(await company.rows(sql, tables)) == len(tables)

    async def test_take_no_row_for_another_tenant(self, company: Company, stranger: Company) -> None:
        sql = "UPDATE tenants SET sites_max = 1000000 WHERE id = $1 RETURNING id"

        assert await _as_process(company, stranger.id, sql, company.tenant.id) == []


class TestSettingVersions:
    @pytest.mark.parametrize("sql", ["UPDATE setting_versions SET value = '{}'", "DELETE FROM setting_versions"])
    async def test_are_never_touched_again(self, company: Company, sql: str) -> None:
        await company.put("milk-colors", WRITTEN)

        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await _as_process(company, company.id, sql)

    async def test_have_no_gap(self, company: Company) -> None:
        await company.put("milk-colors", WRITTEN)
        sql = (
            "INSERT INTO setting_versions (tenant_id, name, version, value, updated_at, updated_by) "
            "VALUES ($1, 'milk-colors', 3, '{}', now(), 'nobody')"
        )

        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await _as_process(company, company.id, sql, company.tenant.id)

    async def test_are_there_for_every_document(self, company: Company) -> None:
        await company.put("milk-colors", WRITTEN)

        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await _as_process(company, company.id, "UPDATE settings SET version = version + 1")

    async def test_a_document_bears_the_name_of_its_place(self, company: Company) -> None:
        await company.put("milk-colors", WRITTEN)

        with pytest.raises(asyncpg.CheckViolationError):
            await _as_process(company, company.id, "UPDATE settings SET key = 'event'")


class TestTenants:
    @pytest.mark.parametrize("change", ["status = 2", "suspend_reason = 'because'", "status = 3", "sites_max = -1"])
    async def test_are_in_one_of_two_states(self, company: Company, change: str) -> None:
        with pytest.raises(asyncpg.CheckViolationError):
            await _as_process(company, company.id, f"UPDATE tenants SET {change}")
