"""Ways to tell somebody outside: a webhook, and a command that gets the notice on its standard input."""

from __future__ import annotations

import asyncio
import json
import shlex
from tempfile import TemporaryFile
from typing import Any

import aiohttp

from crawler.notifying import Undelivered, Way

_WEBHOOK_S = 10.0
_COMMAND_S = 30.0


def webhook(url: str) -> Way:
    """Return what posts a notice as JSON to this address. A redirect or an error status counts as not delivered."""

    async def send(message: dict[str, Any]) -> None:
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_WEBHOOK_S)) as client,
                client.post(url, json={"text": text(message), **message}, allow_redirects=False) as answer,
            ):
                if answer.status >= 300:
                    raise Undelivered(f"the webhook answered {answer.status}")
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Undelivered(f"the webhook could not be reached: {type(error).__name__}") from error

    return send


def command(line: str) -> Way:
    """Return what runs this command, without a shell, with the notice as JSON on its standard input."""
    words = shlex.split(line)

    async def run(message: dict[str, Any]) -> None:
        # A file, not a pipe: nobody has to write to a command that reads nothing and is gone.
        with TemporaryFile() as notice:
            notice.write(json.dumps({"text": text(message), **message}).encode())
            notice.seek(0)
            try:
                process = await asyncio.create_subprocess_exec(
                    *words,
                    stdin=notice,
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=asyncio.subprocess.DEVNULL,
                )
            except OSError as error:
                raise Undelivered(f"{words[0]} cannot be run: {error.strerror}") from error
        try:
            async with asyncio.timeout(_COMMAND_S):
                await process.wait()
        except TimeoutError as error:
            process.kill()
            await process.wait()
            raise Undelivered(f"{words[0]} took longer than {_COMMAND_S:g} s") from error
        if process.returncode:
            raise Undelivered(f"{words[0]} ended with {process.returncode}")

    return run


def text(message: dict[str, Any]) -> str:
    """Return the notice as one line; chat services show the field `text`."""
    details = ", ".join(f"{key} {value}" for key, value in message["details"].items())
    return f"followgraph {message['study']}: {message['event'].replace('_', ' ')}" + (
        f" ({details})" if details else ""
    )
