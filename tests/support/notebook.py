"""Runs the code of a notebook, cell after cell in one namespace, and shows what each ends with as a notebook would.

    python notebook.py NOTEBOOK

Prints one JSON object: for each code cell by its id, the repr of its last expression and its HTML, or null.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    notebook = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    names: dict[str, Any] = {"__name__": "__main__"}
    shown: dict[str, list[str | None]] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                value = run("".join(cell["source"]), names)
            html = getattr(value, "_repr_html_", None)
            text = printed.getvalue() + ("" if value is None else repr(value))
            shown[cell["id"]] = [text, html() if html else None]
    sys.stdout.write(json.dumps(shown))


def run(source: str, names: dict[str, Any]) -> Any:
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    return None if last is None else eval(compile(ast.Expression(last.value), "cell", "eval"), names)


if __name__ == "__main__":
    main()
