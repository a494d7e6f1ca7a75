"""Envoy's JSON transcoder in front of a service, from the wheel."""

import json
import signal
import sys
from pathlib import Path
from typing import Any

from chassis import embedded, processes

_ROOT = Path(__file__).resolve().parents[1]
_DESCRIPTORS = _ROOT / "gen/switchyard/inventory/v1/inventory.binpb"
_SERVICE = "switchyard.inventory.v1.InventoryService"
_EXTENSIONS = "type.googleapis.com/envoy.extensions"


class Envoy:
    """A running Envoy with one worker thread."""

    def __init__(self, port: int, child: processes.Child) -> None:
        self.port = port
        self._child = child

    @property
    def pid(self) -> int:
        return self._child.pid

    async def stop(self) -> None:
        await self._child.stop(signal.SIGTERM)


async def start(folder: Path, address: str) -> Envoy:
    """Start Envoy in front of the inventory service at `address`. It serves a moment later."""
    port = embedded.free_ports(1)[0]
    path = folder / "envoy.json"
    path.write_text(json.dumps(_configuration(port, address), indent=1))
    program = Path(sys.executable).parent / "envoy"
    child = await processes.spawn(
        [str(program), "-c", str(path), "--concurrency", "1", "--log-level", "warning", "--disable-hot-restart"],
        on_line=lambda line: sys.stderr.write(f"envoy: {line}\n"),
        death_signal=signal.SIGTERM,
    )
    return Envoy(port, child)


def _configuration(port: int, address: str) -> dict[str, Any]:
    host, _, upstream_port = address.rpartition(":")
    return {
        "static_resources": {
            "listeners": [
                {
                    "name": "http",
                    "address": _address("127.0.0.1", port),
                    "filter_chains": [{"filters": [_connection_manager()]}],
                }
            ],
            "clusters": [
                {
                    "name": "inventory",
                    "type": "STATIC",
                    "connect_timeout": "2s",
                    "typed_extension_protocol_options": {
                        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                            "@type": f"{_EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions",
                            "explicit_http_config": {"http2_protocol_options": {}},
                        }
                    },
                    "load_assignment": {
                        "cluster_name": "inventory",
                        "endpoints": [
                            {"lb_endpoints": [{"endpoint": {"address": _address(host, int(upstream_port))}}]}
                        ],
                    },
                }
            ],
        }
    }


def _connection_manager() -> dict[str, Any]:
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": f"{_EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "http",
            "route_config": {
                "virtual_hosts": [
                    {
                        "name": "all",
                        "domains": ["*"],
                        "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "inventory", "timeout": "10s"}}],
                    }
                ]
            },
            "http_filters": [
                {
                    "name": "envoy.filters.http.grpc_json_transcoder",
                    "typed_config": {
                        "@type": f"{_EXTENSIONS}.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
                        "proto_descriptor": str(_DESCRIPTORS),
                        "services": [_SERVICE],
                        "print_options": {
                            "always_print_primitive_fields": True,
                            "preserve_proto_field_names": True,
                        },
                    },
                },
                {
                    "name": "envoy.filters.http.router",
                    "typed_config": {"@type": f"{_EXTENSIONS}.filters.http.router.v3.Router"},
                },
            ],
        },
    }


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}
