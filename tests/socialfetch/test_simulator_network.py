"""Where the simulated graph comes from: files, chance, by hand."""

from __future__ import annotations

import gzip
from collections import deque
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socialfetch.simulator.errors import InvalidSetting, UnknownAccount, UnreadableGraph
from socialfetch.simulator.network import ListOrder, Network, Status, from_follows, generate, load_edge_list

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"


def lists(network: Network) -> dict[str, list[str]]:
    """Return every list as handles, in the order served."""
    return {
        network.handle(index): [network.handle(target) for target in network.following(index)[0].tolist()]
        for index in range(network.accounts)
    }


def write(path: Path, content: bytes) -> Path:
    """Write a file and return its path."""
    path.write_bytes(content)
    return path


def load(path: Path, rng_seed: int = 1, list_order: ListOrder = ListOrder.RANDOM) -> dict[str, list[str]]:
    """Return the lists of an edge list's network, each sorted."""
    network = load_edge_list(path, rng_seed=rng_seed, list_order=list_order)
    return {handle: sorted(targets) for handle, targets in lists(network).items()}


def test_integer_ids_become_u_handles(tmp_path: Path) -> None:
    """An integer id i is the account u<i>."""
    assert load(write(tmp_path / "edges.tsv", b"7\t12\n12\t0\n")) == {"u0": [], "u7": ["u12"], "u12": ["u0"]}


def test_text_ids_are_normalised(tmp_path: Path) -> None:
    """A text id is its handle without @ and in lower case, so different spellings are one account."""
    path = write(tmp_path / "edges.tsv", b"@Anna\tbob.b\nANNA\tZo\xc3\xab\n5\tanna\n")
    assert load(path) == {"anna": ["bob.b", "zoë"], "bob.b": [], "zoë": [], "u5": ["anna"]}


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b"\n"])
@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n"])
def test_blank_lines_and_byte_order_marks_are_passed_over(
    tmp_path: Path, newline: bytes, start: bytes, end: bytes
) -> None:
    """Line ends, a byte-order mark and blank lines do not change what is read."""
    content = start + b"1\t2\n2\t1".replace(b"\n", newline) + end.replace(b"\n", newline)
    assert load(write(tmp_path / "edges.tsv", content)) == {"u1": ["u2"], "u2": ["u1"]}


@pytest.mark.parametrize("name", ["edges.tsv.gz", "edges"])
def test_gzip_is_recognised_by_its_content(tmp_path: Path, name: str) -> None:
    """A gzip file is unpacked whatever its name."""
    assert load(write(tmp_path / name, gzip.compress(b"1\t2\n"))) == {"u1": ["u2"], "u2": []}


def test_self_follows_are_dropped_and_repeated_lines_merged(tmp_path: Path) -> None:
    """A self-follow leaves its account without a follow, a repeated line counts once, metrics are true degrees."""
    network = load_edge_list(write(tmp_path / "e", b"1\t1\n2\t3\n2\t3\n3\t2\n2\t2\n"), rng_seed=0)
    assert (network.accounts, network.edges) == (3, 2)
    metrics = {network.account(i).handle: network.account(i).metrics for i in range(3)}
    assert {handle: (m.followers, m.following) for handle, m in metrics.items()} == {
        "u1": (0, 0),
        "u2": (1, 1),
        "u3": (1, 1),
    }


def test_large_and_padded_integers_keep_their_value(tmp_path: Path) -> None:
    """Ids beyond 64 bits are read in full, and leading zeros do not make another account."""
    path = write(tmp_path / "e", b"007\t99999999999999999999\n9223372036854775807\t7\n")
    assert load(path) == {"u7": ["u99999999999999999999"], "u99999999999999999999": [], "u9223372036854775807": ["u7"]}


@pytest.mark.parametrize(
    ("content", "line_number", "shown"),
    [
        (b"1\t2\n3 4\n", 2, "3 4"),
        (b"1\t2\n3\n", 2, "3"),
        (b"1\t2\t3\n", 1, "1\t2\t3"),
        (b"1\t2\n\t4\n", 2, "\t4"),
        (b"1\t\n\t4\n", 1, "1\t"),
        (b"# FromNodeId\tToNodeId\n1\t2\n", 1, "# FromNodeId\tToNodeId"),
        (b"1\t2\na\xff\tb\n", 2, "a\ufffd\tb"),
        (b"a\t" + b"b" * 129 + b"\n", 1, "a\t" + "b" * 77 + "…"),
        (b"1\t2\nu3\tu1\n", 2, "u3\tu1"),
        (b"1\t2\n1.5\t-3,2\n", 2, "1.5\t-3,2"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, content: bytes, line_number: int, shown: str) -> None:
    """An error names the file, the line's number, the line (shortened) and what was expected instead."""
    path = write(tmp_path / "edges.tsv", content)
    with pytest.raises(UnreadableGraph) as caught:
        load(path)
    assert (caught.value.path, caught.value.line_number, caught.value.line) == (path, line_number, shown)
    assert f"{path}, line {line_number}" in str(caught.value)
    assert any(word in str(caught.value) for word in ("source<TAB>target", "UTF-8", "the same account, u1"))
    assert "<TAB>" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("missing", None, "No such file"),
        ("empty", b"", "empty"),
        ("blank", b"\n \n", "empty"),
        ("mark", b"\xef\xbb\xbf\r\n", "empty"),
        ("binary", b"1\t2\n\0\x01", "binary"),
        ("plain.gz", b"1\t2\n", "not gzip"),
        ("cut.gz", gzip.compress(b"1\t2\n" * 100, mtime=0)[:-12], "damaged or cut"),
        ("damaged.gz", b"\x1f\x8b\x08\x00" + b"\x07" * 40, "damaged or cut"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, name: str, content: bytes | None, problem: str) -> None:
    """A file that is no edge list at all raises the same typed error, without a line number."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnreadableGraph, match=problem) as caught:
        load(path)
    assert caught.value.line_number is None


@given(content=st.one_of(st.binary(), st.text("0123456789\t\n\r ax@.").map(str.encode)))
@settings(max_examples=300, deadline=None)
def test_any_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Whatever bytes a file holds, it makes a network or raises the one typed error."""
    path = write(tmp_path_factory.getbasetemp() / "any", content)
    with suppress(UnreadableGraph):
        assert load(path)


@given(follows=st.lists(st.tuples(st.integers(0, 2**64), st.integers(0, 9)), min_size=1))
@settings(max_examples=100, deadline=None)
def test_integers_are_read_alike_at_once_and_line_by_line(
    tmp_path_factory: pytest.TempPathFactory, follows: list[tuple[int, int]]
) -> None:
    """A file of integers makes the same network as the same file with one line of text ids more."""
    content = "".join(f"{a}\t{b}\n" for a, b in follows)
    folder = tmp_path_factory.getbasetemp()
    integers = load(write(folder / "integers", content.encode()))
    mixed = load(write(folder / "mixed", f"{content}x\ty\n".encode()))
    assert mixed == integers | {"x": ["y"], "y": []}


def test_hubs_stand_where_the_list_order_says(tmp_path: Path) -> None:
    """With hubs-first a list begins with the most followed account, with hubs-last it ends so."""
    follows = [(1, 10), (1, 11), (1, 12), (2, 12), (3, 12), (2, 11)]
    path = write(tmp_path / "e", "".join(f"{a}\t{b}\n" for a, b in follows).encode())
    first = lists(load_edge_list(path, rng_seed=3, list_order=ListOrder.HUBS_FIRST))
    last = lists(load_edge_list(path, rng_seed=3, list_order=ListOrder.HUBS_LAST))
    assert first["u1"] == ["u12", "u11", "u10"]
    assert last["u1"] == ["u10", "u11", "u12"]


def test_the_rng_seed_alone_fixes_a_loaded_network(tmp_path: Path) -> None:
    """The same seed gives the same order of lists, another seed another one."""
    path = write(tmp_path / "e", "".join(f"0\t{i}\n" for i in range(1, 60)).encode())
    one, again, other = (lists(load_edge_list(path, rng_seed=seed))["u0"] for seed in (1, 1, 2))
    assert one == again
    assert one != other
    assert sorted(one) == sorted(other)


def test_a_real_graph_is_loaded_whole() -> None:
    """The large data set has as many accounts and follows as its source counts without self-follows."""
    path = DATA / "soc-slashdot0902" / "edges.tsv.gz"
    if not path.exists():
        pytest.skip(f"no data set at {path}")
    network = load_edge_list(path, rng_seed=1)
    assert (network.accounts, network.edges) == (82_168, 870_161)
    assert int(network.follower_counts.sum()) == 870_161


def same(one: Network, other: Network) -> bool:
    """Whether two networks are alike in every list, time, fact and status."""
    return one.accounts == other.accounts and all(
        one.account(i) == other.account(i)
        and one.status(i) is other.status(i)
        and all(np.array_equal(a, b) for a, b in zip(one.following(i), other.following(i), strict=True))
        for i in range(one.accounts)
    )


def test_the_same_arguments_generate_the_same_network() -> None:
    """A generated network is fixed by its arguments in every list, time, fact and status."""
    assert same(generate(500, rng_seed=4), generate(500, rng_seed=4))
    assert not same(generate(500, rng_seed=4), generate(500, rng_seed=5))


@pytest.fixture(scope="module", name="network")
def _network() -> Network:
    return generate(5_000, rng_seed=1)


def test_generated_lists_are_as_long_as_asked(network: Network) -> None:
    """The mean list has 25 to 40 follows, some have hundreds, some accounts follow nobody, none follows itself."""
    lengths = network.following_counts
    assert 25 <= lengths.mean() <= 40
    assert lengths.max() >= 200
    assert 0 < (lengths == 0).mean() < 0.03
    for index in range(network.accounts):
        targets = network.following(index)[0].tolist()
        assert index not in targets
        assert len(set(targets)) == len(targets)


def test_generated_in_degree_is_heavy_tailed(network: Network) -> None:
    """The most followed account has far more followers than the median one, and the top 1 % hold a large share."""
    followers = np.sort(network.follower_counts)
    assert followers[-1] > 20 * np.median(followers)
    assert followers[-50:].sum() > 0.07 * followers.sum()


def test_generated_follows_are_partly_returned(network: Network) -> None:
    """Far more follows are returned than chance would return."""
    follows = {(i, j) for i in range(network.accounts) for j in network.following(i)[0].tolist()}
    returned = sum((j, i) in follows for i, j in follows) / len(follows)
    assert 0.2 < returned < 0.7


def test_communities_are_planted(network: Network) -> None:
    """Follows stay within their community far more often than chance has it, and community sizes follow Zipf's law."""
    community = network.community
    assert community is not None
    source = np.repeat(np.arange(network.accounts), network.following_counts)
    target = np.concatenate([network.following(i)[0] for i in range(network.accounts)])
    sizes = np.bincount(community)
    by_chance = float(((sizes / sizes.sum()) ** 2).sum())
    assert (community[source] == community[target]).mean() > 3 * by_chance
    assert sizes[0] == pytest.approx(2 * sizes[1], rel=0.1)


def test_most_accounts_reach_the_giant_component(network: Network) -> None:
    """A crawl from most accounts comes to see nearly the whole network."""

    def reached(start: int) -> int:
        seen, queue = {start}, deque([start])
        while queue:
            new = set(network.following(queue.popleft())[0].tolist()) - seen
            seen |= new
            queue.extend(new)
        return len(seen)

    reach = [reached(start) for start in range(0, network.accounts, 250)]
    assert sum(count > 0.95 * network.accounts for count in reach) >= 0.9 * len(reach)


def test_some_generated_accounts_are_hidden_private_or_gone(network: Network) -> None:
    """2 % are hidden, 4 % private (half of them flagged in lists), 0.5 % not found; the first ten are always found."""
    status = [network.status(i) for i in range(network.accounts)]
    counts = {kind: status.count(kind) for kind in Status}
    assert counts == {Status.FOUND: 4_675, Status.HIDDEN: 100, Status.PRIVATE: 200, Status.NOT_FOUND: 25}
    flagged = [i for i in range(network.accounts) if network.account(i).private_account]
    assert len(flagged) == 100
    assert {status[i] for i in flagged} == {Status.PRIVATE}
    assert set(status[:10]) == {Status.FOUND}
    assert network.following_counts[:10].min() > 0


def test_facts_are_plausible_and_ids_unique(network: Network) -> None:
    """Every account has its own decimal id; 1 to 2 % are verified; optional facts are absent here and there."""
    accounts = [network.account(i) for i in range(network.accounts)]
    ids = [account.platform_user_id for account in accounts]
    assert all(isinstance(i, str) and i.isdecimal() for i in ids)
    assert len(set(ids)) == len(ids)
    assert 0.01 < sum(account.verified is True for account in accounts) / len(accounts) < 0.02
    assert 0 < sum(account.sec_uid is None for account in accounts) < len(accounts)
    assert 0 < sum(account.region is None for account in accounts) < len(accounts)
    assert all((account.region is None) == (account.language is None) for account in accounts)
    assert [account.handle for account in accounts[:3]] == ["u0", "u1", "u2"]


@pytest.mark.parametrize("accounts", [1, 2, 3, 5, 11])
def test_tiny_networks_can_be_generated(accounts: int) -> None:
    """Any number of accounts from 1 on makes a network."""
    network = generate(accounts, rng_seed=1)
    assert network.accounts == accounts
    assert (network.edges > 0) == (accounts > 1)


def test_no_accounts_are_refused() -> None:
    """A network without accounts is refused with what is expected."""
    with pytest.raises(InvalidSetting, match="accounts is 0") as caught:
        generate(0, rng_seed=1)
    assert "from 1 to 10,000,000" in caught.value.hint


def test_times_decrease_strictly_within_each_list(network: Network) -> None:
    """No two follows of a list have the same time, so each time is a good cursor."""
    for index in range(network.accounts):
        assert (np.diff(network.following(index)[1].astype(np.int64)) < 0).all()


def test_a_very_long_list_keeps_its_times_apart(tmp_path: Path) -> None:
    """A list of 200,000 follows still has strictly decreasing times after 1970."""
    path = write(tmp_path / "e", "".join(f"0\t{i}\n" for i in range(1, 200_001)).encode())
    times = load_edge_list(path, rng_seed=1).following(0)[1].astype(np.int64)
    assert (np.diff(times) < 0).all()
    assert times[-1] > 1_000_000_000


def test_lists_made_by_hand_keep_their_order() -> None:
    """Follows given by hand are served in the order given."""
    network = from_follows([("a", "c"), ("b", "a"), ("a", "b"), ("a", "d"), ("a", "c"), ("a", "a")])
    assert lists(network) == {"a": ["c", "b", "d"], "b": ["a"], "c": [], "d": []}


def test_a_new_follow_comes_first() -> None:
    """An added follow is the newest of its list and counts on both sides; adding it again changes nothing."""
    network = from_follows([("a", "b"), ("c", "b")])
    network.add_follow("a", "c")
    network.add_follow("a", "c")
    network.add_follow("b", "a")
    assert lists(network) == {"a": ["c", "b"], "b": ["a"], "c": ["b"]}
    times = network.following(0)[1]
    assert times[0] > times[1]
    assert network.edges == 4
    metrics = network.account(2).metrics
    assert (metrics.followers, metrics.following) == (1, 1)


def test_a_removed_follow_is_gone_but_its_cursor_stays_good() -> None:
    """After a removal the list goes on where a cursor given out before points to; a second removal changes nothing."""
    network = from_follows([("a", "b"), ("a", "c"), ("a", "d")])
    cursor = int(network.following(0)[1][1])
    assert network.after(0, cursor) == 2
    network.remove_follow("a", "c")
    network.remove_follow("a", "c")
    assert lists(network)["a"] == ["b", "d"]
    assert network.after(0, cursor) == 1
    assert network.account(2).metrics.followers == 0


def test_a_follow_that_comes_back_is_a_new_one() -> None:
    """A follow added again after its removal gets a time of its own."""
    network = from_follows([("a", "b")])
    before = int(network.following(0)[1][0])
    network.remove_follow("a", "b")
    network.add_follow("a", "b")
    assert int(network.following(0)[1][0]) > before


def test_times_never_in_the_list_are_no_place_in_it() -> None:
    """A time at which the account followed nobody points nowhere, however large it is."""
    network = from_follows([("a", "b")])
    time = int(network.following(0)[1][0])
    assert [network.after(0, at) for at in (time - 1, time + 1, 0, 2**40)] == [None] * 4
    assert network.after(1, time) is None


def test_only_known_accounts_can_be_changed() -> None:
    """A change to an account that is not there names it; a self-follow is refused."""
    network = from_follows([("a", "b")])
    with pytest.raises(UnknownAccount, match="'x'"):
        network.add_follow("a", "x")
    with pytest.raises(UnknownAccount, match="'y'"):
        network.set_status("y", Status.HIDDEN)
    with pytest.raises(ValueError, match="does not follow itself"):
        network.add_follow("a", "a")


def test_a_status_can_change_and_change_back() -> None:
    """An account can turn private with a flag and be found again without it."""
    network = from_follows([("a", "b")])
    network.set_status("b", Status.PRIVATE, flagged=True)
    assert (network.status(1), network.account(1).private_account) == (Status.PRIVATE, True)
    network.set_status("b", Status.FOUND)
    assert (network.status(1), network.account(1).private_account) == (Status.FOUND, None)
