"""How hosts are reached: the authorities trusted, the IP version, the headers of some hosts, the proxy. Values only."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from downloader.host_headers import HostHeaders
from downloader.proxy import Proxy

__all__ = ["IPVersion", "Network"]

IPVersion = Literal["any", "4", "6"]


@dataclass(frozen=True, slots=True)
class Network:
    """How hosts are reached.

    Attributes:
        ca_file: authorities that are trusted besides the public ones, PEM.
        ip_version: of the addresses that are resolved and dialled.
        hosts: further headers of some hosts.
        proxy: every request goes through it.
    """

    ca_file: Path | None = None
    ip_version: IPVersion = "any"
    hosts: HostHeaders = field(default=HostHeaders({}), repr=False)
    proxy: Proxy | None = None
