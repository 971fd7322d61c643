"""What is shipped for operators fits the program: metrics, states, settings and files that are named exist."""

from __future__ import annotations

import configparser
import json
import re
import signal
import subprocess
import sys
import urllib.request
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from shutil import which
from typing import Any
from urllib.error import HTTPError

import processes
import psycopg
import pytest
import yaml
from hostile_server import free_port
from postgres_server import Postgres
from processes import environment, simulator

from cli import config
from cli.main import _COMMANDS
from cli.session import password
from cli.settings import every, flag_of
from crawler.duty import State

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
SOURCE = (ROOT / "crawler" / "metrics.py").read_text()
GUIDE = (ROOT / "docs" / "scale.md").read_text()
CONTAINERFILE = (DEPLOY / "Containerfile").read_text()
COMPOSE = yaml.safe_load((DEPLOY / "compose.yml").read_text())
SERVICES = COMPOSE["services"]
CRAWLERS = [name for name, service in SERVICES.items() if "build" in service]


def metrics() -> set[str]:
    """Return the names that the program exposes, with the endings that their kind adds."""
    plain = set(re.findall(r'_(?:one|gauge)\(\s*"(followgraph_\w+)"', SOURCE))
    counters = {f"{name}_total" for name in re.findall(r'_counter\(\s*"(followgraph_\w+)"', SOURCE)}
    histograms = {
        f"{name}_{ending}"
        for name in re.findall(r'_histogram\(\s*"(followgraph_\w+)"', SOURCE)
        for ending in ("bucket", "count", "sum")
    }
    return plain | counters | histograms | {"followgraph_db_bytes", "followgraph_wal_bytes"}


@pytest.mark.parametrize("name", ["alerts.yml", "grafana.json"])
def test_every_metric_that_is_asked_for_exists(name: str) -> None:
    """No rule and no panel asks for a metric that is never exposed."""
    asked = set(re.findall(r"followgraph_[a-z_]+", (DEPLOY / name).read_text()))
    assert len(asked) > 5
    assert asked <= metrics()


def test_every_state_that_is_asked_for_exists() -> None:
    """Rules name states that the daemon has."""
    asked = set(re.findall(r'followgraph_state\{state="(\w+)"', (DEPLOY / "alerts.yml").read_text()))
    assert asked <= set(State.ALL)


def test_every_alarm_is_explained() -> None:
    """docs/operations.md has a word on each rule, and on each state."""
    text = (DEPLOY / "alerts.yml").read_text()
    rules = re.findall(r"- alert: (\w+)", text)
    assert len(rules) > 5
    for part in ("expr: ", "severity: ", "summary: "):
        assert text.count(part) == len(rules)
    assert set(re.findall(r"severity: (\w+)", text)) == {"page", "ticket"}
    guide = (ROOT / "docs" / "operations.md").read_text()
    assert [rule for rule in rules if f"**{rule}**" not in guide] == []
    assert [state for state in State.ALL if f"`{state}`" not in guide and state != State.STARTING] == []


def test_prometheus_takes_the_rules() -> None:
    """promtool finds nothing wrong, where it is to be had."""
    tool = which("promtool")
    if tool is None:
        pytest.skip("there is no promtool on this machine")
    subprocess.run([tool, "check", "rules", str(DEPLOY / "alerts.yml")], check=True)


def test_the_dashboard_is_whole() -> None:
    """Every panel has a title, a place of its own and a query."""
    panels = json.loads((DEPLOY / "grafana.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 8
    assert all(panel["title"] and panel["targets"][0]["expr"] for panel in panels)


def test_the_unit() -> None:
    """It waits for the daemon's word, restarts what a restart can help, and names settings that exist."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    # As configparser's documentation has it: keys keep their case.
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOY / "followgraph@.service")
    service = parser["Service"]
    assert service["Type"] == "notify"
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"] == "2 5"
    variables = {f"FOLLOWGRAPH_{key.replace('.', '__').upper()}" for key in every()}
    for name in ("followgraph@.service", "Containerfile"):
        assert set(re.findall(r"FOLLOWGRAPH_[A-Z_]+", (DEPLOY / name).read_text())) <= variables
    verify = which("systemd-analyze")
    if verify is not None:
        done = subprocess.run(
            [verify, "verify", "--man=no", str(DEPLOY / "followgraph@.service")], capture_output=True, check=False
        )
        assert b"Unknown" not in done.stderr


def variables(service: str) -> dict[str, str]:
    """Return what a crawler's container has in its environment: the image's, and over it the service's."""
    image = dict(re.findall(r"(FOLLOWGRAPH_\w+)=(\S+)", CONTAINERFILE))
    return {**image, **SERVICES[service]["environment"]}


def arguments(service: str) -> list[str]:
    """Return the command line of a crawler's container."""
    found = re.search(r"^ENTRYPOINT (.*)$", CONTAINERFILE, re.MULTILINE)
    assert found is not None
    name, *options = json.loads(found.group(1))
    assert name == "followgraph"
    return [*options, *SERVICES[service]["command"]]


def mounts(service: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what a service mounts, and where."""
    return [tuple(each.split(":")[:2]) for each in service.get("volumes", [])]


def test_the_compose_file_is_one() -> None:
    """It fits the compose specification's own schema."""
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*check, str(DEPLOY / "compose.yml")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_the_services_name_is_there() -> None:
    """Files, volumes, networks and secrets exist; a service has the secrets that it reads, and each is read by one."""
    taken = set()
    for service in SERVICES.values():
        for source, target in mounts(service):
            assert (DEPLOY / source).is_file() if source.startswith(".") else source in COMPOSE["volumes"], source
            assert target.startswith("/")
        assert set(service.get("networks", [])) <= {"default", *COMPOSE["networks"]}
        taken |= set(service["secrets"])
        read = set(re.findall(r"/run/secrets/([a-z-]+)", json.dumps(service.get("environment", {}))))
        for source, _ in mounts(service):
            if source.startswith("."):
                read |= set(re.findall(r"/run/secrets/([a-z-]+)", (DEPLOY / source).read_text()))
        assert set(service["secrets"]) <= read
        assert read - set(service["secrets"]) <= {"page-token"}, "a crawl has no page"
    assert taken == set(COMPOSE["secrets"])
    assert "page-token" in SERVICES["daemon"]["secrets"]
    build = SERVICES["daemon"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).samefile(DEPLOY / "Containerfile")
    assert all(f"\nARG {name}=" in CONTAINERFILE for name in build["args"])


def test_the_image_holds_the_driver_as_it_is_locked() -> None:
    """What the build cuts out of the lock is psycopg and its library, whole, with their hashes."""
    [script] = re.findall(r"(sed -n '[^']+' requirements-dev\.lock)", CONTAINERFILE)
    cut = subprocess.run(["sh", "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    lock = (ROOT / "requirements-dev.lock").read_text()
    entries = [entry for entry in re.split(r"^(?=[a-z])", lock, flags=re.MULTILINE) if entry.startswith("psycopg")]
    assert [entry.partition("==")[0] for entry in entries] == ["psycopg", "psycopg-binary"]
    assert cut == "".join(entries)


@pytest.mark.parametrize("name", CRAWLERS)
def test_the_crawlers_are_told_what_they_know(name: str) -> None:
    """Command, flags and variables are the program's, each with a value that it takes; both have the same settings."""
    command, *rest = [part for part in arguments(name) if part not in {"--log-format", "json"}]
    assert command in _COMMANDS
    assert {part for part in rest if part.startswith("-")} <= {flag_of(key) for key in every()}
    found = config.load(None, variables(name), {})
    others = [config.load(None, variables(other), {}) for other in CRAWLERS]
    assert [other.settings for other in others] == [found.settings] * 2
    assert found.settings.daemon.listen.endswith(SERVICES["daemon"]["ports"][0].rpartition(":")[2])


def test_nothing_is_open() -> None:
    """Ports are published on loopback, the database's nowhere; its network has no way out and holds crawlers only."""
    for service in SERVICES.values():
        assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in service.get("ports", []))
    assert COMPOSE["networks"]["database"] == {"internal": True}
    assert SERVICES["database"]["networks"] == ["database"]
    assert "ports" not in SERVICES["database"]
    inside = {name for name, service in SERVICES.items() if "database" in service.get("networks", [])}
    assert inside == {"database", *CRAWLERS}
    assert not any(each.get("privileged") or "/var/run" in json.dumps(each) for each in SERVICES.values())


def test_no_secret_is_in_the_file() -> None:
    """Whatever is secret is the path of a file, an address holds no password, and the image holds none of the files."""
    for service in SERVICES.values():
        assert "env_file" not in service
        for name, value in service.get("environment", {}).items():
            if re.search(r"PASS|TOKEN|KEY|SECRET", name):
                assert value.startswith("/run/secrets/"), name
            assert password(value) is None
    assert all(Path(each["file"]).parts[:3] == ("/", "etc", "followgraph") for each in COMPOSE["secrets"].values())


def test_the_services_last() -> None:
    """Each comes back, is watched, has limits and an image of a known major version; who is waited for is healthy."""
    for name, service in SERVICES.items():
        assert service["restart"] == "unless-stopped"
        assert service["mem_limit"]
        assert service["pids_limit"]
        assert name == "crawler" or service["healthcheck"]["test"][0] == "CMD"
        assert "build" in service or re.fullmatch(r"docker\.io/[a-z/]+:v?\d[\d.]*", service["image"])
        for other, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            assert "test" in SERVICES[other]["healthcheck"]
    for name in CRAWLERS:
        grace = float(SERVICES[name]["stop_grace_period"].removesuffix("s"))
        assert grace > config.load(None, variables(name), {}).settings.daemon.drain
        assert SERVICES[name]["depends_on"]["database"]


def test_prometheus_and_grafana_are_set_up() -> None:
    """Prometheus asks the daemon under the name that the alarms know, with its token; Grafana asks Prometheus."""
    made = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    inside = dict(mounts(SERVICES["prometheus"]))
    assert [inside["./alerts.yml"]] == made["rule_files"]
    assert f"--config.file={inside['./prometheus.yml']}" in SERVICES["prometheus"]["command"]
    [job] = made["scrape_configs"]
    assert set(re.findall(r'job="(\w+)"', (DEPLOY / "alerts.yml").read_text())) == {job["job_name"]}
    assert job["static_configs"] == [{"targets": ["daemon:8787"]}]
    assert job["authorization"] == {"credentials_file": "/run/secrets/prometheus-token"}
    [source] = yaml.safe_load((DEPLOY / "grafana-sources.yml").read_text())["datasources"]
    assert (source["type"], source["url"], source["isDefault"]) == ("prometheus", "http://prometheus:9090", True)
    [provider] = yaml.safe_load((DEPLOY / "grafana-dashboards.yml").read_text())["providers"]
    assert Path(dict(mounts(SERVICES["grafana"]))["./grafana.json"]).parent == Path(provider["options"]["path"])
    if (tool := which("promtool")) is not None:
        subprocess.run([tool, "check", "config", "--syntax-only", str(DEPLOY / "prometheus.yml")], check=True)


def test_the_guide_makes_every_secret() -> None:
    """docs/scale.md writes each file that the compose file wants, for the user who reads it."""
    made = re.findall(r"\| secret (\d+) ([a-z-]+)|^secret (\d+) ([a-z-]+)", GUIDE, re.MULTILINE)
    owners = {one or other: user or another for user, one, another, other in made}
    assert set(owners) == set(COMPOSE["secrets"])
    for name in CRAWLERS:
        assert all(f"--uid {owners[secret]} " in CONTAINERFILE for secret in SERVICES[name]["secrets"])


until = partial(processes.until, seconds=120.0)


def test_the_crawlers_work_as_they_are_started_there(postgres: Postgres, tmp_path: Path) -> None:
    """Their command lines, settings and secrets, at other addresses: both are at work, /metrics says so to whoever has
    the token, and the signal of `docker compose stop` drains both. The database wants its password."""
    if not postgres.is_ours:
        pytest.skip("which passwords a server wants is changed on our own only")
    postgres.run("CREATE ROLE followgraph LOGIN PASSWORD 'of the tests'")
    postgres.run("CREATE DATABASE study OWNER followgraph")
    rules = "host all followgraph 127.0.0.1/32 scram-sha-256", "host all all 127.0.0.1/32 trust"
    [(place,)] = postgres.ask("", "SHOW hba_file")
    postgres.run(f"COPY (SELECT unnest(ARRAY{list(rules)})) TO '{place}'")
    postgres.run("SELECT pg_reload_conf()")
    address = SERVICES["daemon"]["environment"]["FOLLOWGRAPH_STORAGE__DATABASE"].replace(
        "@database/", f"@127.0.0.1:{postgres.port}/"
    )

    def is_shut() -> bool:
        with suppress(psycopg.OperationalError):
            psycopg.connect(address).close()
            return False
        return True

    until(is_shut, "the server took anybody")
    secrets = {
        "pgpass": f"127.0.0.1:{postgres.port}:study:followgraph:of the tests",
        "page-token": "a-token-of-the-tests",
        "followgraph-key": "sfk_of_the_tests",
    }
    for name, text in secrets.items():
        (tmp_path / name).write_text(f"{text}\n")
        (tmp_path / name).chmod(0o400)
    listen = f"127.0.0.1:{free_port()}"

    def metrics(token: str) -> str:
        request = urllib.request.Request(f"http://{listen}/metrics", headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return str(answer.read().decode())

    with ExitStack() as stack:
        api = stack.enter_context(simulator("--accounts", "5000", "--latency", "50", cwd=tmp_path))

        def begin(service: str, *command: str) -> subprocess.Popen[str]:
            given = {
                name: text.replace("/run/secrets", str(tmp_path)).replace("0.0.0.0:8787", listen)
                for name, text in variables(service).items()
            }
            given |= {"FOLLOWGRAPH_STORAGE__DATABASE": address, "FOLLOWGRAPH_API__BASE_URL": api.url}
            given["FOLLOWGRAPH_CRAWL__RATE"] = "10"  # there is no need to buy much
            line = [*arguments(service)[:2], *command] if command else arguments(service)
            line = [re.sub(r"^\$\{CREDITS_A_DAY:.*\}$", "90000", part) for part in line]
            with (tmp_path / f"{service}.log").open("a") as log:
                process = subprocess.Popen(
                    [sys.executable, "-m", "cli.main", *line],
                    cwd=tmp_path,
                    env=environment(**given, SOCIALFETCH_API_KEY=""),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    text=True,
                )
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        def said() -> str:
            return "".join(log.read_text() for log in tmp_path.glob("*.log"))

        assert begin("daemon", "seed", "u1", "u2", "u3").wait(120) == 0, said()
        assert begin("crawler").wait(120) == 2, "there is no day yet: its container begins it again"
        daemon = begin("daemon")

        def at_work(count: int) -> bool:
            assert daemon.poll() is None, said()
            try:
                return f"followgraph_crawlers {float(count)}" in metrics(secrets["page-token"])
            except OSError:
                return False

        until(lambda: at_work(1), "the daemon never crawled")
        with pytest.raises(HTTPError, match="401"):
            metrics("another-token-of-the-tests")
        crawler = begin("crawler")
        until(lambda: at_work(2), "the crawler never took part")
        for process in (crawler, daemon):
            process.send_signal(signal.SIGTERM)
        assert (crawler.wait(120), daemon.wait(120)) == (0, 0), said()
    assert not any(text in said() for text in (*secrets.values(), "of the tests"))
    postgres.drop("study")
    postgres.run("DROP ROLE followgraph")
