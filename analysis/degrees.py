"""networkx's degree views on a graph of arrays: the same answers, for which no dictionary of neighbours is built.

Only degrees by weight are networkx's own work on its dictionaries: what an edge weighs stands nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from networkx.classes import reportviews


class _Counted:
    """What the views share; goes before the view of networkx whose answers it gives."""

    _graph: Any
    _weight: Any
    _nodes: Any
    _kind: str

    def __init__(self, graph: Any, nbunch: Any = None, weight: Any = None) -> None:
        if weight is not None:
            super().__init__(graph, nbunch, weight)  # type: ignore[call-arg]  # the view that comes after
            return
        # Not super().__init__: it would ask for the dictionaries.
        self._graph, self._weight = graph, None
        self._nodes = graph if nbunch is None else list(graph.nbunch_iter(nbunch))

    def __getitem__(self, node: Any) -> Any:
        if self._weight is not None:
            return super().__getitem__(node)  # type: ignore[misc]  # as above
        at = self._graph.position(node)
        if at is None:
            raise KeyError(node)
        return int(self._graph.degrees(self._kind)[at])

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        if self._weight is not None:
            return super().__iter__()  # type: ignore[misc,no-any-return]  # as above
        if self._nodes is self._graph:
            return zip(self._graph, self._graph.degrees(self._kind).tolist(), strict=True)
        return ((node, self[node]) for node in self._nodes)


# Under networkx's names, since they show when a view is printed.
class DiDegreeView(_Counted, reportviews.DiDegreeView):  # type: ignore[misc]  # networkx has no types
    """Follows of both directions."""

    _kind = "both"


class InDegreeView(_Counted, reportviews.InDegreeView):  # type: ignore[misc]  # as above
    """Followers."""

    _kind = "in"


class OutDegreeView(_Counted, reportviews.OutDegreeView):  # type: ignore[misc]  # as above
    """Accounts followed."""

    _kind = "out"


class DegreeView(_Counted, reportviews.DegreeView):  # type: ignore[misc]  # as above
    """Neighbours where arrows were taken off."""

    _kind = "both"


class Nodes:
    """What `nbunch_iter` of networkx asks of a graph; in the place of its dictionary stand the arrays."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._adj = _Keys(graph)

    def __contains__(self, node: object) -> bool:
        return node in self._graph


class _Keys:
    """The nodes as a dictionary has them: to ask for what cannot be a key is a TypeError."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph

    def __iter__(self) -> Iterator[Any]:
        return iter(self._graph)

    def __contains__(self, node: object) -> bool:
        return self._graph.position(node) is not None
