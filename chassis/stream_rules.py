"""What production demands of the streams and of the NATS servers that keep them, looked up before a process begins.

A power cut cost a server with the default configuration 14 of 100 acknowledged messages, and locks their fencing
tokens: it acknowledges first and syncs every two minutes. Replicas alone do not help: they lose power together, and
`persist_mode: async` overrides `sync_interval: always` (docs/decisions/0013). A stream tells its own configuration; how
a server syncs, it says over its monitoring port alone.
"""

import asyncio
import http.client
import json
import re
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from nats.aio.client import Client as Nats
from nats.js.api import PersistMode, StorageType, StreamConfig, StreamInfo
from nats.js.errors import NotFoundError

# One of three may be lost, and the two others still agree.
REPLICAS: Final = 3
# Jepsen's report is of 2.12.1; the first since with what was mended of it.
VERSION_MIN: Final = (2, 12, 3)
_VERSION_MIN_TEXT: Final = ".".join(map(str, VERSION_MIN))
BUCKET_PREFIX: Final = "KV_"
# A server is asked on the network of its cluster.
TIMEOUT_S: Final = 2.0
# The leader of a cluster hears from every server each second; from one that is away it has not for this long.
AWAY_S: Final = 3.0
_NS: Final = 1_000_000_000
_VERSION: Final = re.compile(r"(\d+)\.(\d+)\.(\d+)")


class Fault(NamedTuple):
    """Something that is weaker than it must be."""

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}: {self.remedy}"


class UnsafeError(Exception):
    """Production may not run on these streams or servers; the message is a line for each fault."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))


@dataclass
class Findings:
    """What was found, a line each."""

    faults: list[Fault] = field(default_factory=list)
    # What could not be looked up now: ask again.
    unknown: list[str] = field(default_factory=list)
    # Servers that are away by the word of their cluster's leader: not looked at, and no reason to wait.
    away: list[str] = field(default_factory=list)


async def examine(connection: Nats, streams: Iterable[str], monitor_urls: str, *, replicas: int = REPLICAS) -> Findings:
    """Look at the streams, and at every server that keeps them, by their monitoring URLs with commas between.

    A stream that is not there is passed over. `replicas`: how many there must be at least.

    Raises what NATS raises while it is away.
    """
    findings = Findings()
    keepers: set[str] = set()
    for name in streams:
        try:
            info = await connection.jetstream().stream_info(name)
        except NotFoundError:
            continue
        findings.faults += judge_stream(info.config, replicas=replicas)
        keepers |= _keepers(info)
    told = await asyncio.gather(*(asyncio.to_thread(_ask, url) for url in monitor_urls.split(",")))
    servers = [each for each in told if isinstance(each, Mapping) and each.get("jetstream", {}).get("config")]
    silent = [each for each in told if isinstance(each, str)]
    for server in servers:
        findings.faults += judge_server(server)
    _judge_cluster(findings, servers, keepers, silent, replicas)
    return findings


def judge_stream(config: StreamConfig, *, replicas: int = REPLICAS) -> list[Fault]:
    """What is wrong with a stream. What cannot be changed in place must keep its sequence: tokens are revisions."""
    name, found = config.name or "", config.num_replicas or 1
    anew = f"`nats stream backup {name} DIR`, delete it, and `nats stream restore DIR --config FILE` with"
    faults = []
    if config.storage != StorageType.FILE:
        faults.append(Fault(f"{name} is kept in memory", f"{anew} `storage: file`"))
    if config.persist_mode == PersistMode.ASYNC:
        faults.append(
            Fault(f"{name} acknowledges before it writes, with `persist_mode: async`", f"{anew} no `persist_mode`")
        )
    if found < replicas:
        faults.append(Fault(f"{name} has {found} of {replicas} replicas", "set SWITCHYARD_STREAM_REPLICAS"))
    if name.startswith(BUCKET_PREFIX) and config.allow_direct:
        faults.append(
            Fault(f"{name} may answer with an old value (allow_direct)", f"`nats stream edit {name} --no-allow-direct`")
        )
    return faults


def judge_server(told: Mapping[str, Any]) -> list[Fault]:
    """What is wrong with a server, from its /varz."""
    name, version = told["server_name"], told["version"]
    config = told["jetstream"]["config"]
    faults = []
    found = _VERSION.match(version)
    if found is None or tuple(map(int, found.groups())) < VERSION_MIN:
        faults.append(Fault(f"NATS server {name} is {version}", f"install {_VERSION_MIN_TEXT} or newer"))
    if not config.get("sync_always"):
        every_s = config.get("sync_interval", 0) / _NS
        faults.append(
            Fault(
                f"NATS server {name} acknowledges what is not yet on the disk (it syncs every {every_s:g} s)",
                "set `sync_interval: always` in its `jetstream` block and restart it",
            )
        )
    return faults


def _judge_cluster(
    findings: Findings, servers: Sequence[Mapping[str, Any]], keepers: set[str], silent: Sequence[str], replicas: int
) -> None:
    """Whether the servers are a cluster large enough, and all of them have been seen."""
    metas = {each["server_name"]: each["jetstream"].get("meta") for each in servers}
    if servers and not any(each.get("cluster") for each in servers):
        if replicas > 1:
            remedy = f"run {replicas} servers with a `cluster` block each"
            findings.faults.append(Fault("NATS runs without a cluster", remedy))
        return
    leader = next((meta for name, meta in metas.items() if meta and meta.get("leader") == name), None)
    if leader is None:
        unseen = {meta["leader"] for meta in metas.values() if meta and meta.get("leader")} - set(metas)
        if unseen and not silent:
            findings.faults += map(_not_looked_at, sorted(unseen))
        else:
            findings.unknown.append("; ".join(silent) or "the NATS servers have no leader now")
        return
    if leader["cluster_size"] < replicas:
        what = f"the NATS cluster has {leader['cluster_size']} of {replicas} servers"
        findings.faults.append(Fault(what, "start more, with the same `cluster` block"))
    others = {each["name"]: each for each in leader.get("replicas") or ()}
    for name in sorted((keepers | set(others)) - set(metas)):
        if name in others and _is_away(others[name]):
            findings.away.append(f"NATS server {name} is away")
        elif silent:
            findings.unknown.append(f"NATS server {name} was not seen: {'; '.join(silent)}")
        else:
            findings.faults.append(_not_looked_at(name))


def _not_looked_at(name: str) -> Fault:
    return Fault(f"NATS server {name} is not looked at", "add its monitoring URL to SWITCHYARD_NATS_MONITOR_URLS")


def _is_away(replica: Mapping[str, Any]) -> bool:
    return not replica["current"] or replica["active"] > AWAY_S * _NS


def _keepers(info: StreamInfo) -> set[str]:
    """The servers that hold a copy."""
    cluster = info.cluster
    if cluster is None:
        return set()
    names = [cluster.leader, *(each.name for each in cluster.replicas or ())]
    return {name for name in names if name}


def _ask(url: str) -> Mapping[str, Any] | str:
    """What a server tells of itself, or why it does not."""
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/varz", timeout=TIMEOUT_S) as response:  # noqa: S310 - configured
            told: Mapping[str, Any] = json.load(response)
            return told
    except (OSError, ValueError, http.client.HTTPException) as failure:
        return f"{url}: {failure!r}"
