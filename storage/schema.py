"""The tables. The newest schema lives here; `migrations/` leads every older database to it.

Conventions: `_at` columns are Unix seconds; a NULL `handle` is an account whose handle somebody else took over; a
follow edge points from the follower (`src`) to the followed (`dst`).
"""

from __future__ import annotations

from enum import IntEnum

import sqlalchemy as sa

HEAD = "0007"
"""The migration this program's tables correspond to."""

UNFINISHED = "copying "
"""Stands in the place of the migration, before the state of the source, in a copy that is not finished."""

APPLICATION_ID = 0x466F6C67
"""`PRAGMA application_id` of a followgraph database ("Folg")."""

metadata = sa.MetaData()


class State(IntEnum):
    """States of a frontier entry. `DEFERRED` is queued, not before a time: it is kept out of the pick index."""

    QUEUED = 0
    LEASED = 1
    DONE = 2
    FAILED = 3
    SKIPPED = 4
    DEFERRED = 5


class Queue:
    """From which queue an account was picked; control samples are `control-1` to `control-3`."""

    MAIN = "main"
    EXPLORE = "explore"
    AHEAD = "ahead"
    AUDIT = "audit"
    CONTROL = "control-"


class Completeness:
    """How much of a following list a visit read. An open or interrupted visit is `PARTIAL`: never taken for a whole."""

    COMPLETE = "complete"
    CAPPED = "capped"
    PARTIAL = "partial"
    HIDDEN = "hidden"
    PRIVATE = "private"
    NOT_FOUND = "not_found"

    LISTED = (COMPLETE, CAPPED, PARTIAL)
    """Those that brought a list, whole or not."""


class Outcome:
    """Outcomes of a call in the ledger."""

    SETTLED = "settled"
    RELEASED = "released"
    UNCERTAIN = "uncertain"
    RECONCILED = "reconciled"


accounts = sa.Table(
    "accounts",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("handle", sa.Text, unique=True),
    sa.Column("platform_user_id", sa.Text, unique=True),
    sa.Column("display_name", sa.Text),
    sa.Column("bio", sa.Text),
    sa.Column("avatar_url", sa.Text),
    sa.Column("region", sa.Text),
    sa.Column("language", sa.Text),
    sa.Column("verified", sa.SmallInteger),
    sa.Column("private", sa.SmallInteger),
    sa.Column("followers", sa.BigInteger, comment="reported by the platform; NULL until the account was listed"),
    sa.Column("following", sa.BigInteger, comment="reported by the platform; NULL until the account was listed"),
    sa.Column("posts", sa.BigInteger),
    sa.Column("account_created_at", sa.BigInteger),
    sa.Column("facts_hash", sa.BigInteger, comment="of the columns above, so that unchanged facts cost no write"),
    sa.Column("first_seen_at", sa.BigInteger, nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
)

handle_history = sa.Table(
    "handle_history",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("account_id", sa.BigInteger, nullable=False),
    sa.Column("handle", sa.Text, nullable=False, comment="the handle that the account no longer has"),
    sa.Column("reason", sa.Text, nullable=False, comment="renamed or taken_over"),
    sa.Column("until_at", sa.BigInteger, nullable=False),
)

follows = sa.Table(
    "follows",
    metadata,
    sa.Column("src", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("dst", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("first_visit", sa.BigInteger, nullable=False),
    sa.Column("last_visit", sa.BigInteger, comment="NULL while it is first_visit"),
    sa.Column("ended_visit", sa.BigInteger, comment="the later complete visit that no longer listed it"),
    sqlite_with_rowid=False,
)

past_follows = sa.Table(
    "past_follows",
    metadata,
    sa.Column("src", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("dst", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("first_visit", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("last_visit", sa.BigInteger, nullable=False),
    sa.Column("ended_visit", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

visits = sa.Table(
    "visits",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("account_id", sa.BigInteger, nullable=False),
    sa.Column("run_id", sa.BigInteger, nullable=False),
    sa.Column("started_at", sa.BigInteger, nullable=False),
    sa.Column("ended_at", sa.BigInteger, comment="NULL while the list is still being read"),
    sa.Column("completeness", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, comment="why a list ended early, or the provider's own word for an unknown status"),
    sa.Column("pages", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("listed", sa.BigInteger, nullable=False, server_default="0", comment="accounts listed, as answered"),
    sa.Column("edges", sa.BigInteger, nullable=False, server_default="0", comment="distinct follows this visit listed"),
    sa.Column("new_edges", sa.BigInteger, nullable=False, server_default="0", comment="of these, unknown before"),
    sa.Column("new_accounts", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("duplicates", sa.BigInteger, nullable=False, server_default="0", comment="listed again in this visit"),
    sa.Column("self_follows", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("unreadable", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("reported_total", sa.BigInteger),
    sa.Column("cash", sa.Float, comment="flow: what this visit had to hand out when it began"),
    sa.Column("priority", sa.Float, comment="priority at the pick"),
    sa.Column("queue", sa.Text, comment="from which queue it was picked"),
    sa.Column("seed_id", sa.BigInteger, comment="the seed to whose budget its credits count"),
    sa.Column("depth", sa.BigInteger, comment="at the pick: the hop to whose budget its credits count"),
    sa.Column("hits", sa.BigInteger, nullable=False, server_default="0", comment="listed accounts of the kind wanted"),
    sa.Column("rate", sa.Float, comment="hits an account listed, as expected when its last page was bought"),
    sa.Column("log_followers", sa.Float, nullable=False, server_default="0", comment="sum of ln(1 + followers) listed"),
    sa.Column("order_score", sa.BigInteger, nullable=False, server_default="0", comment="+1: hubs later, -1: earlier"),
    sa.Column("order_tests", sa.BigInteger, nullable=False, server_default="0", comment="comparisons in that score"),
    sa.Index("visits_account", "account_id"),
)

frontier = sa.Table(
    "frontier",
    metadata,
    sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
    sa.Column("state", sa.SmallInteger, nullable=False),
    sa.Column("priority", sa.Float, nullable=False),
    sa.Column("depth", sa.BigInteger, nullable=False, comment="hops from the nearest seed, 0 for a seed"),
    sa.Column("cash", sa.Float, nullable=False, server_default="0", comment="flow: received and not yet handed out"),
    sa.Column("visit_id", sa.BigInteger, comment="the open visit; NULL while no list is being read"),
    sa.Column("cursor", sa.Text, comment="the page to ask for next; NULL is the first page"),
    sa.Column("completeness", sa.Text, comment="of the last visit"),
    sa.Column("attempts", sa.SmallInteger, nullable=False, server_default="0", comment="failed calls for this page"),
    sa.Column("not_before", sa.Float),
    sa.Column("lease_process", sa.BigInteger, comment="who holds the lease, and with it one reserved credit"),
    sa.Column("leased_at", sa.BigInteger),
    sa.Column("reason", sa.Text, comment="why failed or skipped"),
    sa.Column("seed_id", sa.BigInteger, comment="the seed through which it was discovered"),
    sa.Column("lane", sa.SmallInteger, nullable=False, server_default="0", comment="the queue that `priority` is of"),
    sa.Column("listings", sa.BigInteger, nullable=False, server_default="0", comment="lists that named it, if counted"),
    sa.Column("merit", sa.Float, nullable=False, server_default="0", comment="a strategy's own sum over those lists"),
    sa.Column("quality", sa.Float, nullable=False, server_default="0", comment="a strategy's second such sum"),
    sa.Column("chance", sa.Float, comment="priority in the explore queue; NULL while there is none"),
)

# What an index leaves out is said for SQLite only; `storage.postgres` says the same to a server. Said here, it would
# make every command import that dialect, for a tenth of a second.
PICK_INDEX = sa.Index(
    "frontier_pick",
    frontier.c.lane,
    frontier.c.priority.desc(),
    frontier.c.account_id,
    # A literal: with a bound parameter PostgreSQL's generic plan ignores a partial index.
    sqlite_where=sa.text("state = 0"),
)
EXPLORE_INDEX = sa.Index(
    "frontier_explore",
    frontier.c.chance.desc(),
    frontier.c.account_id,
    sqlite_where=sa.text("state = 0 AND chance IS NOT NULL"),
)
RETRY_INDEX = sa.Index(
    "frontier_retry",
    frontier.c.priority.desc(),
    frontier.c.account_id,
    sqlite_where=sa.text("state = 0 AND attempts > 0"),
)
DUE_INDEX = sa.Index(
    "frontier_due",
    frontier.c.not_before,
    sqlite_where=sa.text("state = 5"),
)
LEASE_INDEX = sa.Index(
    "frontier_leased",
    frontier.c.lease_process,
    sqlite_where=sa.text("state = 1"),
)

ledger = sa.Table(
    "ledger",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("run_id", sa.BigInteger, nullable=False),
    sa.Column("visit_id", sa.BigInteger, comment="NULL for a reconciliation"),
    sa.Column("account_id", sa.BigInteger),
    sa.Column("cursor", sa.Text, nullable=False, server_default="", comment="the page asked for; '' is the first"),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("charged", sa.BigInteger, nullable=False, comment="credits known to be charged by this row"),
    sa.Column("uncertain", sa.BigInteger, nullable=False, comment="credits maybe charged; negative once reconciled"),
    sa.Column("request_id", sa.Text),
    sa.Column("cause", sa.Text, comment="the error of a call that brought no page"),
)
PAGE_INDEX = sa.Index(
    "ledger_page",
    ledger.c.visit_id,
    ledger.c.cursor,
    unique=True,
    sqlite_where=sa.text("outcome = 'settled'"),
)

archive = sa.Table(
    "archive",
    metadata,
    sa.Column("ledger_id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
    sa.Column("dictionary_id", sa.BigInteger, comment="NULL: compressed without one"),
    sa.Column("body", sa.LargeBinary, nullable=False, comment="the answer as it came, zstd-compressed"),
)

dictionaries = sa.Table(
    "dictionaries",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("trained_at", sa.BigInteger, nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
)

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("started_at", sa.BigInteger, nullable=False),
    sa.Column("ended_at", sa.BigInteger),
    sa.Column("stop_reason", sa.Text),
    sa.Column("strategy", sa.Text, nullable=False),
    sa.Column("rng_seed", sa.BigInteger, nullable=False),
    sa.Column("settings", sa.Text, nullable=False, comment="JSON: what the run was asked to do, without secrets"),
    sa.Column("budget", sa.BigInteger, nullable=False),
    sa.Column("charged", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("uncertain", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("reserved", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("pages", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("new_edges", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("new_accounts", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("errors", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("active_s", sa.Float, nullable=False, server_default="0", comment="seconds at work, over all processes"),
    sa.Column("forecast", sa.Text, comment="JSON: what the budget was expected to buy, and since when"),
)

allowances = sa.Table(
    "allowances",
    metadata,
    sa.Column("run_id", sa.BigInteger, primary_key=True, autoincrement=False, comment="0: of all runs together"),
    sa.Column("kind", sa.Text, primary_key=True, comment="day, seed or depth"),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("charged", sa.BigInteger, nullable=False),
    sa.Column("uncertain", sa.BigInteger, nullable=False),
    sa.Column("reserved", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

control_draws = sa.Table(
    "control_draws",
    metadata,
    sa.Column("run_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("wave", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("place", sa.BigInteger, primary_key=True, autoincrement=False, comment="order of the draws of a wave"),
    sa.Column("account_id", sa.BigInteger, nullable=False, comment="drawn with replacement: may stand there again"),
    sqlite_with_rowid=False,
)

processes = sa.Table(
    "processes",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("run_id", sa.BigInteger, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("pid", sa.BigInteger, nullable=False),
    sa.Column("started_at", sa.BigInteger, nullable=False),
    sa.Column("heartbeat_at", sa.BigInteger, nullable=False),
    sa.Column("ended_at", sa.BigInteger),
    sa.Column("commits", sa.BigInteger, nullable=False, server_default="0", comment="signed by it; see postgres"),
    sa.Column("pages", sa.BigInteger, nullable=False, server_default="0", comment="bought, as of the heartbeat"),
    sa.Column("in_flight", sa.BigInteger, nullable=False, server_default="0", comment="as of the heartbeat"),
)

meta = sa.Table(
    "meta",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

journal = sa.Table(
    "journal",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("ledger_id", sa.BigInteger, nullable=False, comment="the last ledger row when it was done"),
    sa.Column("act", sa.Text, nullable=False),
    sa.Column("details", sa.Text, nullable=False, comment="JSON"),
)

balances = sa.Table(
    "balances",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("ledger_id", sa.BigInteger, nullable=False, comment="the last ledger row when nothing was in flight"),
    sa.Column("balance", sa.BigInteger, nullable=False, comment="spendable credits as the provider said"),
    sa.Column("refill_state", sa.Text),
)

optouts = sa.Table(
    "optouts",
    metadata,
    sa.Column("hash", sa.Text, primary_key=True, comment="keyed, of a handle or a platform id"),
    sa.Column("kind", sa.Text, nullable=False, comment="handle, id, or hash where it was given as one"),
    sa.Column("person", sa.BigInteger, nullable=False, comment="the same for all hashes of one person"),
    sa.Column("reason", sa.Text, nullable=False, comment="opted_out or forgotten"),
    sa.Column("at", sa.BigInteger, nullable=False),
)

withheld = sa.Table(
    "withheld",
    metadata,
    sa.Column("visit_id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
    sa.Column("accounts", sa.BigInteger, nullable=False, comment="listed by the visit and not kept"),
)

receipts = sa.Table(
    "receipts",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("act", sa.Text, nullable=False, comment="forgotten, opted_out or purged"),
    sa.Column("details", sa.Text, nullable=False, comment="JSON: counts, nobody's name"),
    sa.Column("hash", sa.Text, nullable=False, comment="SHA-256 of the three columns before it"),
)

orders = sa.Table(
    "orders",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("act", sa.Text, nullable=False),
    sa.Column("details", sa.Text, nullable=False, comment="JSON"),
    sa.Column("origin", sa.Text, nullable=False, comment="where it was asked: command or page"),
    sa.Column("done_at", sa.BigInteger, comment="NULL until the crawl obeyed"),
    sa.Column("answer", sa.Text, comment="what came of it"),
)

budget_changes = sa.Table(
    "budget_changes",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("run_id", sa.BigInteger, comment="the run whose budget was raised; NULL: the daemon's total"),
    sa.Column("credits", sa.BigInteger, nullable=False),
    sa.Column("note", sa.Text),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("until_day", sa.Text, comment="the last day they may be spent on, YYYY-MM-DD; NULL: without an end"),
    sa.Column("used", sa.BigInteger, comment="what the daemon had used before, where they have a last day"),
)

daemon = sa.Table(
    "daemon",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("pid", sa.BigInteger, nullable=False),
    sa.Column("started_at", sa.BigInteger, nullable=False),
    sa.Column("heartbeat_at", sa.BigInteger, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("until_at", sa.BigInteger, comment="when it goes on by itself"),
    sa.Column("total", sa.BigInteger, comment="credits of budget.total; NULL: none"),
    sa.Column("per_day", sa.BigInteger, comment="credits of budget.per_day; NULL: none"),
)

rereads = sa.Table(
    "rereads",
    metadata,
    sa.Column("visit_id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
    sa.Column("gone", sa.BigInteger, nullable=False, comment="follows that this visit found ended"),
    sa.Column("following", sa.BigInteger, comment="what listings said that the account follows when it ended"),
    sa.Column(
        "order_chance",
        sa.Float,
        comment="log10 of the chance that new follows came first by accident; above 0: they did not come first",
    ),
)

notices = sa.Table(
    "notices",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False, comment="what it is told about once only"),
    sa.Column("details", sa.Text, nullable=False, comment="JSON"),
    sa.Column("attempts", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("settled_at", sa.BigInteger, comment="delivered or given up; NULL: to be sent"),
    sa.Column("outcome", sa.Text),
    sa.UniqueConstraint("event", "subject"),
)
