"""Every network call through Tenacity: who may import what can send a request, and who may dial. `app.audit.policy` follows the calls."""

import ast
from collections.abc import Iterator, Mapping

from app.audit.rule import Breach, Rule
from app.audit.sources import Module, Sources
from app.audit.syntax import calls, dotted, function_around, imports, last

__all__ = ["RULES"]

POLICY = "downloader.policy"
CLIENTS: Mapping[str, tuple[str, ...]] = {
    "httpx": ("downloader", "errors.classify"),
    "aiohttp": ("downloader.transport", "errors.classify"),
    "obstore": ("app.storage",),
    "tenacity": (POLICY,),
    **dict.fromkeys(("requests", "urllib3", "urllib.request", "http.client", "httpcore", "ftplib", "smtplib", "pycurl", "boto3"), ()),
}
"""What sends requests, or repeats them, and the only packages and modules that may import it."""

INSIDE = ("downloader.attempt", "downloader.transport", "downloader.robots", "downloader.policy")
"""The ways to a request that the downloader keeps to itself."""

MAY_REACH: Mapping[str, str] = {"app.audit.costs": "measures what the policy costs, without a request"}

DIALS = frozenset(
    {"socket.socket", "open_connection", "open_unix_connection", "create_connection", "sock_connect", "getaddrinfo", "gethostbyname"}
)
MAY_DIAL: Mapping[tuple[str, str], str] = {
    ("downloader.names", "getaddrinfo"): "looks a host up inside an attempt, which the policy retries",
    ("downloader.names", "socket.socket"): "asks the machine which address families it has; sends nothing",
    ("downloader.transport", "socket.socket"): "the transport's own connection, to the address that the guard let pass",
    ("app.web.server", "getaddrinfo"): "looks its own address up, to listen on",
    ("app.web.server", "socket.socket"): "the socket that the API listens on",
    ("app.cli.doctor.machine", "getaddrinfo"): "asks whether names resolve; sends nothing",
}
BLOCKING = frozenset({"subprocess.run", "subprocess.call", "subprocess.check_call", "subprocess.check_output", "os.system", "input"})


def _one_tenacity(sources: Sources) -> Iterator[Breach]:
    yield from _imported_elsewhere(sources, {"tenacity": CLIENTS["tenacity"]})


def _clients(sources: Sources) -> Iterator[Breach]:
    yield from _imported_elsewhere(sources, {name: allowed for name, allowed in CLIENTS.items() if name != "tenacity"})
    for module in sources.values():
        if not _is_within(module.name, ("downloader", *MAY_REACH)):
            yield from _reaches_inside(module)


def _imported_elsewhere(sources: Sources, table: Mapping[str, tuple[str, ...]]) -> Iterator[Breach]:
    for module in sources.values():
        for name, line in imports(module):
            for client, allowed in table.items():
                if _is_within(name, (client,)) and not _is_within(module.name, allowed):
                    where = f"only {', '.join(allowed)} may" if allowed else "nobody may"
                    yield Breach(module.path, line, f"imports {client}", f"{where}; ask the Downloader instead")


def _reaches_inside(module: Module) -> Iterator[Breach]:
    for name, line in imports(module):
        if _is_within(name, INSIDE):
            yield Breach(module.path, line, f"imports {name}", "go through `downloader.Downloader`, whose requests the policy retries")


def _dials(sources: Sources) -> Iterator[Breach]:
    for module in sources.values():
        for call, _ in calls(module):
            name = "socket.socket" if dotted(call.func) == "socket.socket" else last(call.func)
            if name in DIALS and (module.name, name) not in MAY_DIAL:
                yield Breach(module.path, call.lineno, f"calls {name}", "connections are the transport's of the downloader")


def _no_blocking(sources: Sources) -> Iterator[Breach]:
    for module in sources.values():
        for call, here in calls(module):
            name = dotted(call.func)
            if name == "time.sleep":
                yield Breach(module.path, call.lineno, "calls time.sleep", "await the sleep that was passed in")
            elif name in BLOCKING and isinstance(function_around(here), ast.AsyncFunctionDef):
                yield Breach(module.path, call.lineno, f"calls {name} in a coroutine", "await asyncio.to_thread, or asyncio's own")
        for name, line in imports(module):
            if name == "time.sleep":
                yield Breach(module.path, line, "imports time.sleep", "await the sleep that was passed in")


def _store(sources: Sources) -> Iterator[Breach]:
    for module in sources.values():
        if not _is_within(module.name, ("app.storage",)):
            continue
        for call, _ in calls(module):
            is_remote = last(call.func) in ("from_url", "S3Store", "AzureStore", "GCSStore", "HTTPStore")
            if is_remote and "retry_config" not in {keyword.arg for keyword in call.keywords}:
                yield Breach(module.path, call.lineno, f"{last(call.func)} without retry_config=", "pass RETRIES, the store's one rule")


def _is_within(name: str, places: tuple[str, ...]) -> bool:
    return any(name == place or name.startswith(f"{place}.") for place in places)


RULES = (
    Rule("one-tenacity", f"only {POLICY} imports Tenacity", _one_tenacity),
    Rule(
        "http-in-downloader",
        "HTTP clients only in the downloader, its insides only behind its facade, obstore only in app.storage",
        _clients,
        tuple(f"{name}: {why}" for name, why in MAY_REACH.items()),
    ),
    Rule("no-dialling", "nobody else opens a connection", _dials, tuple(f"{m}.{call}: {why}" for (m, call), why in MAY_DIAL.items())),
    Rule("store-retries", "every remote object store is opened with its retry rule", _store),
    Rule("no-blocking", "no time.sleep, and nothing that blocks in a coroutine", _no_blocking),
)
