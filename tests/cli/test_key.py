from __future__ import annotations

import os
from pathlib import Path

import pytest

from cli import key as keys
from cli.config import ConfigError
from cli.key import Key, find
from cli.settings import Api, Settings

KEY = "sfk_live_0123456789ab9f2c"


def key_file(folder: Path, content: bytes = f"{KEY}\n".encode(), mode: int = 0o600) -> Settings:
    path = folder / "the.key"
    path.write_bytes(content)
    path.chmod(mode)
    return Settings(api=Api(key_file=str(path)))


def refused(settings: Settings, environ: dict[str, str]) -> str:
    with pytest.raises(ConfigError) as caught:
        find(settings, environ)
    return str(caught.value)


def test_nobody_gave_one() -> None:
    """Without a variable and a file there is no key, and an empty variable is none."""
    assert find(Settings(), {}) is None
    assert find(Settings(), {"SOCIALFETCH_API_KEY": " "}) is None


def test_environment_goes_first(tmp_path: Path) -> None:
    """The variable goes before the file, and a key knows where it came from."""
    settings = key_file(tmp_path)
    from_file = find(settings, {})
    from_environment = find(settings, {"SOCIALFETCH_API_KEY": "sfk_live_other_other"})
    assert from_file is not None
    assert from_environment is not None
    assert from_file.secret.get_secret_value() == KEY
    assert from_file.origin == str(tmp_path / "the.key")
    assert from_environment.secret.get_secret_value() == "sfk_live_other_other"
    assert from_environment.origin == "SOCIALFETCH_API_KEY"


def test_a_key_is_never_printed() -> None:
    """Printing a key in any usual way shows nothing of it; what is told shows its last four signs."""
    key = find(Settings(), {"SOCIALFETCH_API_KEY": KEY})
    assert isinstance(key, Key)
    for shown in (str(key), repr(key), f"{key}", str(key.secret), repr(key.secret), f"{[key]}"):
        assert KEY not in shown
        assert "9f2c" not in shown
    assert key.told == "ends …9f2c, from SOCIALFETCH_API_KEY"


def test_nothing_of_a_short_key_is_told() -> None:
    """Of a key too short to lose four signs nothing is told."""
    key = find(Settings(), {"SOCIALFETCH_API_KEY": "secret"})
    assert key is not None
    assert key.told == "from SOCIALFETCH_API_KEY"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o622, 0o777])
def test_others_must_not_read_it(tmp_path: Path, mode: int) -> None:
    """A file that others may read or write is refused with the command that helps."""
    told = refused(key_file(tmp_path, mode=mode), {})
    assert f"mode {mode:03o}" in told
    assert f"chmod 600 {tmp_path / 'the.key'}" in told
    assert KEY not in told


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"sfk one\n", "signs that no key holds"),
        (b"sfk\none\n", "signs that no key holds"),
        (b"sfk\x00one", "signs that no key holds"),
        ("sfk_é".encode(), "is not text"),
        (b"\xff\xfe", "is not text"),
        (b"s" * 5000, "larger than 4,096 bytes"),
    ],
)
def test_files_that_hold_no_key(tmp_path: Path, content: bytes, told: str) -> None:
    """A file that is empty, large, binary or of several lines is refused without being repeated."""
    found = refused(key_file(tmp_path, content), {})
    assert told in found
    assert "api.key_file" in found
    assert "sfk" not in found


def test_no_file(tmp_path: Path) -> None:
    """A missing file, a folder and a pipe are refused at once."""
    assert "No such file" in refused(Settings(api=Api(key_file=str(tmp_path / "nope"))), {})
    assert "not a regular file" in refused(Settings(api=Api(key_file=str(tmp_path))), {})
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert "not a regular file" in refused(Settings(api=Api(key_file=str(tmp_path / "pipe"))), {})


def test_a_broken_variable() -> None:
    """A variable that holds more than a key is refused without being repeated."""
    found = refused(Settings(), {"SOCIALFETCH_API_KEY": "sfk_live\r\nx-evil: 1"})
    assert found.startswith("SOCIALFETCH_API_KEY: ")
    assert "evil" not in found


def test_a_secret_handed_over_may_be_readable_by_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd gives credentials mode 440, container engines give secrets 444: who gets there is theirs to say."""
    settings = key_file(tmp_path, mode=0o444)
    assert "can be read by others" in refused(settings, {})
    assert "can be read by others" in refused(settings, {"CREDENTIALS_DIRECTORY": str(tmp_path / "elsewhere")})
    assert find(settings, {"CREDENTIALS_DIRECTORY": str(tmp_path)}) is not None
    monkeypatch.setattr(keys, "CONTAINER_SECRETS", tmp_path)
    assert find(settings, {}) is not None
