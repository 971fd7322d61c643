"""The networkx backend `followgraph`: functions of networkx on the follow graph's arrays.

networkx asks it about every call with a graph of ours, and about plain graphs when `backend="followgraph"` or its
configuration says so. Of a graph of ours it runs everything: what has no kernel, or an argument that the kernel does
not honour, by networkx's own code on dictionaries built on demand.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import cache
from itertools import chain
from typing import Any

import networkx as nx
from networkx.utils.backends import _registered_algorithms

from analysis.columnar import Columnar
from analysis.kernels import KERNELS, REFUSALS, WEIGHTED
from analysis.wires import Converted


class Backend:
    """What the entry point `networkx.backends` names. Its attributes are functions under networkx's names."""

    def convert_from_nx(self, graph: Any, **_: Any) -> Any:
        """Return a graph whose arrays are made when a kernel asks for them."""
        return graph if isinstance(graph, (Columnar, Converted)) else Converted(graph)

    def convert_to_nx(self, result: Any, *, name: str | None = None) -> Any:
        """Return what networkx's own code can work on."""
        return result.original if isinstance(result, Converted) else result

    def can_run(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool | str:
        """Return whether the call can run here, else why not."""
        if any(isinstance(graph, Columnar) for graph in _all(args, kwargs)):
            return True
        refused = refusal(name, args, kwargs)
        return True if refused is None else refused

    def should_run(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Return whether converting for the call is worth it: kernels win by more than a conversion costs."""
        return True

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_") or name not in _registered_algorithms:
            raise AttributeError(name)
        return _function(name)


backend = Backend()


@cache
def _function(name: str) -> Callable[..., Any]:
    own = _registered_algorithms[name].orig_func
    kernel = KERNELS.get(name)

    def call(*args: Any, **kwargs: Any) -> Any:
        if kernel is not None and refusal(name, args, kwargs) is None:
            return kernel(*args, **kwargs)
        # A graph of ours is a networkx graph as it stands; it lays its dictionaries when they are read.
        plain = [backend.convert_to_nx(value) for value in args]
        return own(*plain, **{key: backend.convert_to_nx(value) for key, value in kwargs.items()})

    return call


def refusal(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """Return why a call cannot run on a kernel, None if it can."""
    if name not in KERNELS:
        return "there is no kernel for it"
    try:
        bound = _signature(name).bind(*args, **kwargs)
    except TypeError as error:
        return str(error)  # networkx says it in its own words
    bound.apply_defaults()
    given: dict[str, Any] = bound.arguments
    graph = given["G"]
    if not any(isinstance(graph, kind) for kind in (Columnar, Converted, nx.Graph)):
        return f"{type(graph).__name__} is no graph that it knows"
    if graph.is_multigraph():
        return "parallel edges are left to networkx"
    original = graph.original if isinstance(graph, Converted) else graph
    if name in WEIGHTED and not isinstance(original, Columnar):
        argument = WEIGHTED[name]
        weight = "weight" if argument is None else given[argument]
        if weight is not None and any(weight in facts for _, _, facts in original.edges(data=True)):
            return "weighted edges are left to networkx"
    reason = REFUSALS.get(name)
    return None if reason is None else reason(given)


@cache
def _signature(name: str) -> inspect.Signature:
    return inspect.signature(_registered_algorithms[name].orig_func)


def _all(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterable[Any]:
    """Return the arguments, and what lists among them hold: some functions take lists of graphs."""
    given = [*args, *kwargs.values()]
    return chain(given, *(value for value in given if isinstance(value, (list, tuple))))
