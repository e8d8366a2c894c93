"""Every request of the downloader is made inside ``RetryPolicy.run``: calls are followed upwards until they stand in its arguments.

A name is resolved by the house's convention that an attribute is called after its class: ``self._robots.check`` is ``Robots.check``. What
cannot be resolved that way counts as a call that nobody guards, so the rule errs on the side of a breach.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from app.audit.rule import Breach, Rule
from app.audit.sources import Module, Node, Sources
from app.audit.syntax import FUNCTIONS, calls, dotted, function_around, last

__all__ = ["RULES", "sends"]

VERBS = frozenset({"send", "get", "post", "put", "patch", "delete", "head", "options", "request", "stream"})
ONE_ATTEMPT = {"client": "downloader.attempt", "session": "downloader.transport"}
"""Who may speak to httpx's client and to aiohttp's session: both are below ``Requester.send``."""


@dataclass(frozen=True, slots=True)
class _Function:
    """A function of the downloader, with the class it is a method of."""

    module: str
    owner: str
    name: str


def sends(sources: Sources) -> list[tuple[Module, ast.Call, bool]]:
    """Every ``requester.send(...)`` of the downloader, and whether each way to it leads through the policy."""
    modules = [module for module in sources.values() if module.name.split(".")[0] == "downloader"]
    found = [(module, call, here) for module in modules for call, here in calls(module) if _is_send(call)]
    return [(module, call, _is_guarded(modules, module, here, frozenset())) for module, call, here in found]


def _through_policy(sources: Sources) -> Iterator[Breach]:
    for module, call, is_guarded in sends(sources):
        if not is_guarded:
            yield Breach(module.path, call.lineno, "a request outside RetryPolicy.run", "call it in what is handed to policy.run")
    for module in sources.values():
        if module.name.split(".")[0] == "downloader":
            yield from _other_requests(module)


def _other_requests(module: Module) -> Iterator[Breach]:
    for call, _ in calls(module):
        if isinstance(call.func, ast.Attribute) and call.func.attr in VERBS:
            place = ONE_ATTEMPT.get(last(call.func.value).strip("_"))
            if place is not None and place != module.name:
                yield Breach(
                    module.path, call.lineno, f"speaks to the HTTP client: {dotted(call.func)}", f"only {place} may: use Requester.send"
                )


def _is_send(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr == "send" and last(call.func.value).strip("_") == "requester"


def _is_guarded(modules: list[Module], module: Module, here: Node, seen: frozenset[_Function]) -> bool:
    if any(_runs_policy(above.node) for above in here.above()):
        return True
    function = _function(module, here)
    if function is None or function in seen:
        return False
    ways = [(other, way) for other in modules for way in other.nodes if _refers(other, way, function)]
    return bool(ways) and all(_is_guarded(modules, other, way, seen | {function}) for other, way in ways)


def _runs_policy(node: ast.AST) -> bool:
    func = node.func if isinstance(node, ast.Call) else None
    return isinstance(func, ast.Attribute) and func.attr == "run" and last(func.value).strip("_") == "policy"


def _function(module: Module, here: Node) -> _Function | None:
    function = function_around(here)
    if function is None:
        return None
    around = next(above for above in here.above() if above.node is function)
    return _Function(module.name, _class_of(around), function.name)


def _class_of(function: Node) -> str:
    """The class of a method; a function within a method has none."""
    above = next((node.node for node in function.above() if isinstance(node.node, (*FUNCTIONS, ast.ClassDef))), None)
    return above.name if isinstance(above, ast.ClassDef) else ""


def _refers(module: Module, here: Node, wanted: _Function) -> bool:
    node = here.node
    if isinstance(node, ast.Name):
        return not wanted.owner and node.id == wanted.name and module.name == wanted.module
    if not isinstance(node, ast.Attribute) or node.attr != wanted.name:
        return False
    receiver = last(node.value).strip("_")
    if receiver == "self":
        return wanted.owner in [above.node.name for above in here.above() if isinstance(above.node, ast.ClassDef)]
    return receiver.replace("_", "").lower() == (wanted.owner.lower() or wanted.module.rpartition(".")[2])


RULES = (Rule("through-tenacity", "every request of the downloader, robots.txt too, is made inside RetryPolicy.run", _through_policy),)
