"""A constant load while instances are drained and replaced: calls by `chassis.rpc`, and by HTTP through the gateway.

Half of the calls read; the other half change something and may not be sent twice.
"""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from statistics import quantiles
from typing import Any

import httpx
from switchyard.registry.v1 import registry_pb2 as pb
from switchyard.tenants.v1 import sites_pb2, sites_pb2_grpc, tenants_pb2, tenants_pb2_grpc

from bench.fleet import auth, samples
from bench.fleet.ends import known
from bench.fleet.watcher import LEFT
from bench.fleet.world import Sample, World
from bench.load import WrongAnswer
from chassis import call, errors, identity
from chassis.directory import Watched
from chassis.rpc.client import Channel

# Calls a second, of each of the two.
RATE = 50
INSTANCES = 3
SITES = 5
# A drained process goes on for so long with what it has.
DRAINED_S = 0.3
PASS_EVERY_S = 20.0
START_DEADLINE_S = 30.0
DEADLINE_S = 10.0


class Load:
    """Calls begun at a constant rate, whatever becomes of those before."""

    def __init__(self, name: str, calls: list[Callable[[], Awaitable[None]]]) -> None:
        self.name = name
        self.errors: Counter[str] = Counter()
        self.taken: list[float] = []
        self._make = calls
        self._calls: set[asyncio.Task[None]] = set()
        self._ending = False

    async def run(self) -> None:
        """Call until `end`."""
        began, number = time.monotonic(), 0
        while not self._ending:
            number += 1
            task = asyncio.create_task(self._call(self._make[number % len(self._make)]))
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)
            await asyncio.sleep(max(0.0, began + number / RATE - time.monotonic()))
        await asyncio.gather(*self._calls)

    def end(self) -> None:
        self._ending = True

    async def _call(self, make: Callable[[], Awaitable[None]]) -> None:
        began = time.monotonic()
        try:
            await make()
        except (errors.Error, httpx.HTTPError, TimeoutError) as failure:
            self.errors[repr(failure)[:200]] += 1
        self.taken.append(time.monotonic() - began)

    def outcome(self) -> dict[str, Any]:
        cuts = quantiles(self.taken, n=100)
        times = {"p50_ms": cuts[49] * 1e3, "p99_ms": cuts[98] * 1e3, "max_ms": max(self.taken) * 1e3}
        return {"name": self.name, "calls": len(self.taken), "errors": dict(self.errors), **times}


class Company:
    """A tenant with some sites."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def open(self, stack: AsyncExitStack) -> None:
        directory = Watched(self._world.registry_target)
        stack.push_async_callback(directory.close)
        following = asyncio.create_task(directory.run())
        stack.callback(following.cancel)

        async def own_pass(principal: identity.Principal) -> str:
            return self._world.auth.issue("bench", str(principal.tenant_id or ""))

        channel: Any = Channel(samples.SERVICE, directory, own_pass, deadline_s=DEADLINE_S)
        self.sites: Any = sites_pb2_grpc.SitesServiceStub(channel)
        tenants: Any = tenants_pb2_grpc.TenantsServiceStub(channel)
        told = tenants_pb2.Tenant(name="Bench", slug="bench")
        with self.acting(auth.OPERATOR):
            made = await tenants.CreateTenant(tenants_pb2.CreateTenantRequest(tenant=told))
        self.tenant_id: str = made.id
        self._renew()
        self.site_ids = []
        for number in range(SITES):
            request = sites_pb2.CreateSiteRequest(site=sites_pb2.Site(name=f"Site {number}", time_zone="UTC"))
            with self._user():
                self.site_ids.append((await self.sites.CreateSite(request)).id)

    def acting(self, credential: str, tenant_id: str = "") -> Any:
        """Make a call on somebody's behalf."""
        principal = identity.Principal("user", "bench", None)
        return call.answering(call.Call(principal, "", token=self._world.auth.issue(credential, tenant_id)))

    async def read(self) -> None:
        with self._user():
            await self.sites.ListSites(sites_pb2.ListSitesRequest())

    async def change(self) -> None:
        site = sites_pb2.Site(address=f"{random.random()} Harbour Street")
        request = sites_pb2.UpdateSiteRequest(id=random.choice(self.site_ids), site=site)
        request.update_mask.paths.append("address")
        with self._user():
            await self.sites.UpdateSite(request)

    def _user(self) -> Any:
        if time.monotonic() - self._issued_at > PASS_EVERY_S:
            self._renew()
        return call.answering(call.Call(identity.Principal("user", "bench", None), "", token=self._pass))

    def _renew(self) -> None:
        self._pass, self._issued_at = self._world.auth.issue(auth.USER, self.tenant_id), time.monotonic()


class Browser:
    """The same over HTTP."""

    def __init__(self, http: httpx.AsyncClient, company: Company) -> None:
        self._http = http
        self._company = company
        self._headers = {"authorization": f"Bearer {auth.USER}", "x-tenant-id": company.tenant_id}

    async def read(self) -> None:
        self._check(await self._http.get("/api/v1/sites", headers=self._headers))

    async def change(self) -> None:
        path = f"/api/v1/sites/{random.choice(self._company.site_ids)}"
        body = {"address": f"{random.random()} Harbour Street"}
        self._check(await self._http.patch(path, json=body, headers=self._headers))

    @staticmethod
    def _check(answer: httpx.Response) -> None:
        if answer.status_code != httpx.codes.OK:
            raise errors.Unavailable(f"{answer.status_code} {answer.text}")


async def drained_and_replaced(world: World, count: int) -> dict[str, Any]:
    """Replace so many processes, one after the other; what became of the calls. Raises `WrongAnswer`."""
    async with AsyncExitStack() as stack:
        living = [await world.sample() for _ in range(INSTANCES)]
        company = Company(world)
        await company.open(stack)
        port = await world.gateway()
        http = await stack.enter_async_context(
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE_S, trust_env=False)
        )
        browser = Browser(http, company)
        await _serves(browser)
        loads = [
            Load("chassis.rpc.client.Channel", [company.read, company.change]),
            Load("HTTP through the gateway", [browser.read, browser.change]),
        ]
        running = [asyncio.create_task(load.run()) for load in loads]
        began = time.monotonic()
        for number in range(count):
            living.append(await world.sample())
            await _replace(world, living.pop(0), drain=number % 2 == 0)
        lasted = time.monotonic() - began
        for load in loads:
            load.end()
        await asyncio.gather(*running)
        for sample in living:
            sample.signal(signal.SIGKILL)
    return {"replaced": count, "lasted_s": lasted, "loads": [load.outcome() for load in loads]}


async def _serves(browser: Browser) -> None:
    """Wait until the gateway knows where to."""
    deadline = time.monotonic() + START_DEADLINE_S
    while True:
        try:
            await browser.read()
            await browser.change()
            return
        except (errors.Error, httpx.HTTPError) as failure:
            if time.monotonic() > deadline:
                raise WrongAnswer(f"the gateway does not answer: {failure!r}") from failure
        await asyncio.sleep(0.2)


async def _replace(world: World, leaving: Sample, *, drain: bool) -> None:
    """Every other one is drained by its operator first; the rest are told to end, and see to it themselves."""
    began = time.monotonic()
    if drain:
        request = pb.DrainRequest(name=samples.SERVICE, instance_id=leaving.instance.id)
        await world.registry().Drain(request, metadata=world.told_by(samples.SERVICE), timeout=DEADLINE_S)
        await known(world, leaving.instance, LEFT, began)
        await asyncio.sleep(DRAINED_S)
    leaving.signal(signal.SIGTERM)
    await known(world, leaving.instance, frozenset({pb.INSTANCE_STATE_GONE}), began)
