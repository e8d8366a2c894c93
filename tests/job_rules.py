"""The rules that every module of ``workers`` keeps, read from its source: who may retry, and what a job says of it.

Knows no module of ours, so that it can be shown bad sources as well.
"""

import ast
from collections.abc import Container, Iterable, Iterator, Mapping

__all__ = ["breaches", "functions_with_jobs", "reachable"]

MECHANISM = "job"
"""The module that holds the decorator, and with it arq's Retry."""


def breaches(sources: Mapping[str, str], registered: Iterable[str] = (), *, excused: Container[str] = ()) -> list[str]:
    """What is wrong, one line for each.

    Args:
        sources: module name, without the package, to its source.
        registered: names of the functions that the worker registers.
        excused: ``module.function`` whose loop may try and sleep.
    """
    trees = {name: ast.parse(source) for name, source in sources.items()}
    found = [f"{name}: {what}" for name, tree in trees.items() if name != MECHANISM for what in _of_module(tree)]
    jobs = {function.name: (name, function) for name, tree in trees.items() for function in functions_with_jobs(tree)}
    found += [f"{name}: {what}" for name, function in jobs.values() for what in _of_job(function)]
    found += [f"{function} is registered and has no @job" for function in registered if function not in jobs]
    for name in reachable(trees, {name for name, _ in jobs.values()}):
        loops = [f"{name}.{function}" for function in _own_retries(trees[name])]
        found += [f"{loop} has a retry of its own: a loop that tries and sleeps" for loop in loops if loop not in excused]
    return sorted(found)


def functions_with_jobs(tree: ast.AST) -> list[ast.AsyncFunctionDef]:
    """Functions under the decorator, with or without its arguments."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef)]
    return [function for function in functions if any(_name(_called(line)) in ("job", "job.job") for line in function.decorator_list)]


def reachable(trees: Mapping[str, ast.AST], start: Iterable[str]) -> set[str]:
    """The modules of jobs and those of the package that they import, at any depth; the decorator's own is none of them."""
    found: set[str] = set()
    waiting = list(start)
    while waiting:
        name = waiting.pop()
        if name not in found and name in trees and name != MECHANISM:
            found.add(name)
            waiting += _imports_of_package(trees[name])
    return found


def _imports_of_package(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "workers":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("workers."):
            yield str(node.module).removeprefix("workers.")


def _of_module(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        modules = _imported(node)
        if any(module.partition(".")[0] == "tenacity" for module in modules):
            yield "imports tenacity, which is the downloader's"
        if {"arq.Retry", "arq.worker.Retry", "arq.worker.RetryJob"} & modules:
            yield "imports arq's Retry, which is the decorator's"
        if isinstance(node, ast.Raise) and _name(_called(node.exc)).rpartition(".")[2] in ("Retry", "RetryJob"):
            yield "raises Retry, which is the decorator's"


def _imported(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        return {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return set()


def _of_job(function: ast.AsyncFunctionDef) -> Iterator[str]:
    (line,) = [line for line in function.decorator_list if _name(_called(line)) in ("job", "job.job")]
    if not isinstance(line, ast.Call) or "retry_on" not in {keyword.arg for keyword in line.keywords}:
        yield f"{function.name} does not say retry_on="
    strategy = (ast.get_docstring(function) or "").partition("Retry: ")[2]
    if not all(word in strategy for word in ("MemoryError", "DatabaseConnectionError", "3 times", "60 s apart")):
        yield f"{function.name} does not state its retry strategy"
    if any(isinstance(node, ast.Try) for node in ast.walk(function)):
        yield f"{function.name} has a try of its own"


def _own_retries(tree: ast.AST) -> Iterator[str]:
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and any(_tries_and_sleeps(node) for node in ast.walk(function)):
            yield function.name


def _tries_and_sleeps(loop: ast.AST) -> bool:
    inside = list(ast.walk(loop)) if isinstance(loop, ast.For | ast.While | ast.AsyncFor) else []
    sleeps = any(isinstance(node, ast.Call) and _name(node.func).rpartition(".")[2] == "sleep" for node in inside)
    return sleeps and any(isinstance(node, ast.Try) for node in inside)


def _called(node: ast.AST | None) -> ast.AST | None:
    return node.func if isinstance(node, ast.Call) else node


def _name(node: ast.AST | None) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_name(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""
