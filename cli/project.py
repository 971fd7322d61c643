"""`followgraph init`: a folder for a study."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from cli.failure import usage
from cli.session import Bound

_SEEDS = """\
# The accounts that the crawl starts from: one a line, as @name, name or https://www.tiktok.com/@name.
# Lines that begin with # are comments. Then: followgraph seed --file seeds.txt
"""

_IGNORED = """\
# The graph, the key and what is made of them belong to people; they do not belong in a repository.
*.db
*.db-wal
*.db-shm
*.db.lock
*.db.outputs.jsonl
*.backup
*.key
followgraph-report/
followgraph-fault-*.txt
"""


def init(
    directory: Annotated[Path, Parameter(name="DIR")] = Path(),
    /,
    *,
    session: Bound,
) -> None:
    """Begin a study: write a commented config.toml, a list for the seeds and a .gitignore.

    Nothing is ever overwritten.

    Parameters
    ----------
    directory
        The study's folder; made if it is not there. Without it the current folder.
    """
    from cli import template  # noqa: PLC0415 - pydantic, which the help page does without
    from cli.wording import KEY_VARIABLE  # noqa: PLC0415 - start-up

    # A .gitignore that is already there serves the whole folder, so it is left alone; the other two would be ours.
    own = {"config.toml": template.render(), "seeds.txt": _SEEDS}
    for name in own:
        if (directory / name).exists() or (directory / name).is_symlink():
            raise usage(
                "exists",
                f"{directory / name} is already there",
                hint=f"Keep it and go on, or begin elsewhere: followgraph init {directory / 'new-study'}",
            )
    kept_ignore = (directory / ".gitignore").exists()
    files = own if kept_ignore else {**own, ".gitignore": _IGNORED}
    written: list[Path] = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            # Who the seeds are, and where the key lies, is nobody else's business.
            descriptor = os.open(directory / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                written.append(directory / name)
                file.write(text)
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        raise usage(
            "not_writable", f"{directory} cannot be written: {error.strerror}", hint="Name another folder."
        ) from None
    output = session.output
    output.line(f"{directory / 'config.toml'} · every setting at its default, with one line of why", label="created")
    output.line(f"{directory / 'seeds.txt'} · one account a line, # for comments", label="")
    if kept_ignore:
        output.line(
            "there is a .gitignore already: add *.db* and *.key to it, so that no graph is published", label="WARN"
        )
    else:
        output.line(f"{directory / '.gitignore'} · keeps the graph and the key out of a repository", label="")
    output.line(
        f"put your key in {KEY_VARIABLE} or in the file of api.key_file, then: followgraph doctor", label="next"
    )
    output.finish({"path": str(directory / "config.toml"), "files": [str(path) for path in written]})
