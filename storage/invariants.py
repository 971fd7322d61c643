"""What holds in every database, as questions that count where it does not.

Each question reads its tables once; its answer has one count for each sentence beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """What it means when the count is not 0. `finding` holds `{count}`; an empty `remedy` is the usual one."""

    code: str
    finding: str
    remedy: str = ""
    severity: Literal["warning", "failure"] = "failure"
    is_mendable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question to the database: its answer is a row of counts."""

    sql: str
    broken: tuple[Broken, ...]


_FOLLOWS = Question(
    sql="""
SELECT count(*) FILTER (WHERE a.id IS NULL),
       count(*) FILTER (WHERE b.id IS NULL),
       count(*) FILTER (WHERE f.src = f.dst),
       count(*) FILTER (WHERE coalesce(v.account_id, -1) <> f.src
                           OR (f.last_visit IS NOT NULL AND coalesce(l.account_id, -1) <> f.src)
                           OR (f.ended_visit IS NOT NULL AND coalesce(e.account_id, -1) <> f.src)),
       count(*) FILTER (WHERE f.last_visit < f.first_visit OR f.ended_visit <= coalesce(f.last_visit, f.first_visit)),
       count(*) FILTER (WHERE d.depth > s.depth + 1)
FROM follows f
LEFT JOIN accounts a ON a.id = f.src
LEFT JOIN accounts b ON b.id = f.dst
LEFT JOIN visits v ON v.id = f.first_visit
LEFT JOIN visits l ON l.id = f.last_visit
LEFT JOIN visits e ON e.id = f.ended_visit
LEFT JOIN frontier s ON s.account_id = f.src
LEFT JOIN frontier d ON d.account_id = f.dst
""",
    broken=(
        Broken(code="edges_without_accounts", finding="{count} follows point from accounts that do not exist"),
        Broken(code="edges_without_accounts", finding="{count} follows point to accounts that do not exist"),
        Broken(code="self_follows", finding="{count} accounts follow themselves"),
        Broken(code="edges_without_visits", finding="{count} follows name visits that are not their follower's"),
        Broken(code="follow_intervals", finding="{count} follows ended before they began"),
        Broken(
            code="too_deep",
            severity="warning",
            is_mendable=True,
            finding="{count} follows lead to accounts that are said to be farther from a seed than that",
        ),
    ),
)

_PAST_FOLLOWS = Question(
    sql="""
SELECT count(*) FILTER (WHERE f.src IS NULL),
       count(*) FILTER (WHERE p.last_visit < p.first_visit OR p.ended_visit <= p.last_visit),
       count(*) FILTER (WHERE p.ended_visit > f.first_visit)
FROM past_follows p LEFT JOIN follows f ON f.src = p.src AND f.dst = p.dst
""",
    broken=(
        Broken(
            code="past_follows_orphaned", finding="{count} follows of the past never came back, yet are in the past"
        ),
        Broken(code="follow_intervals", finding="{count} follows of the past ended before they began"),
        Broken(code="follow_intervals", finding="{count} follows of the past ended after they had come back"),
    ),
)

_ACCOUNTS = Question(
    sql="""
SELECT count(*) FILTER (WHERE f.account_id IS NULL),
       count(*) FILTER (WHERE a.handle IS NULL AND h.account_id IS NULL)
FROM accounts a
LEFT JOIN frontier f ON f.account_id = a.id
LEFT JOIN (SELECT DISTINCT account_id FROM handle_history) h ON h.account_id = a.id
""",
    broken=(
        Broken(
            code="accounts_without_entry",
            is_mendable=True,
            finding="{count} accounts have no frontier entry and would never be visited",
            remedy="`followgraph doctor --repair` gives one to those of which no list is half read.",
        ),
        Broken(
            code="handles_lost",
            severity="warning",
            finding="{count} accounts have no handle and never had one",
        ),
    ),
)

_FRONTIER = Question(
    sql="""
SELECT count(*) FILTER (WHERE a.id IS NULL),
       count(*) FILTER (WHERE f.visit_id IS NOT NULL AND v.ended_at IS NOT NULL),
       count(*) FILTER (WHERE f.visit_id IS NOT NULL AND coalesce(v.account_id, -1) <> f.account_id),
       count(*) FILTER (WHERE f.cursor IS NOT NULL AND f.visit_id IS NULL AND coalesce(f.completeness, '') <> 'capped'),
       count(*) FILTER (WHERE f.state = 1 AND p.id IS NULL),
       count(*) FILTER (WHERE f.state = 1 AND f.visit_id IS NULL),
       count(*) FILTER (WHERE f.state <> 1 AND f.lease_process IS NOT NULL),
       count(*) FILTER (WHERE f.state = 5 AND f.not_before IS NULL),
       count(*) FILTER (WHERE f.state NOT IN (0, 1, 2, 3, 4, 5)),
       count(*) FILTER (WHERE f.state = 2 AND f.completeness IS NULL)
FROM frontier f
LEFT JOIN accounts a ON a.id = f.account_id
LEFT JOIN visits v ON v.id = f.visit_id
LEFT JOIN processes p ON p.id = f.lease_process
""",
    broken=(
        Broken(code="entries_without_account", finding="{count} frontier entries belong to no account"),
        Broken(code="ended_visits_open", finding="{count} entries go on with visits that have ended"),
        Broken(code="foreign_visits_open", finding="{count} entries go on with visits that are not theirs"),
        Broken(
            code="stale_cursors",
            severity="warning",
            is_mendable=True,
            finding="{count} entries keep the cursor of a list that has ended",
        ),
        Broken(
            code="leases_without_process",
            is_mendable=True,
            finding="{count} entries are leased by nobody and would never be visited",
            remedy="`followgraph doctor --repair` queues them again, their credits uncertain in the newest run.",
        ),
        Broken(code="leases_without_visit", finding="{count} entries are leased for no visit"),
        Broken(
            code="lease_leftovers",
            severity="warning",
            is_mendable=True,
            finding="{count} entries name a process although they are not leased",
        ),
        Broken(
            code="never_due",
            is_mendable=True,
            finding="{count} entries wait for a time that is not set and would never be visited",
        ),
        Broken(code="unknown_states", finding="{count} entries are in a state that nobody knows"),
        Broken(code="done_without_visit", finding="{count} entries are done although no visit of theirs has ended"),
    ),
)

_COMPLETENESS = Question(
    sql="""
SELECT count(*) FILTER (WHERE coalesce(f.completeness, '') <> coalesce(v.completeness, ''))
FROM frontier f LEFT JOIN (
    SELECT account_id, max(id) AS id FROM visits WHERE ended_at IS NOT NULL AND pages > 0 GROUP BY account_id
) n ON n.account_id = f.account_id LEFT JOIN visits v ON v.id = n.id
""",
    broken=(
        Broken(
            code="completeness",
            finding="{count} entries say otherwise of their list than their last visit: a part may pass for a whole",
        ),
    ),
)

_VISITS = Question(
    sql="""
SELECT count(*) FILTER (WHERE a.id IS NULL),
       count(*) FILTER (WHERE r.id IS NULL),
       count(*) FILTER (WHERE v.ended_at IS NULL AND coalesce(f.visit_id, -1) <> v.id),
       count(*) FILTER (WHERE v.pages <> coalesce(c.pages, 0)),
       count(*) FILTER (WHERE v.new_edges > v.edges OR v.listed <> v.edges + v.duplicates + v.self_follows),
       count(*) FILTER (WHERE n.id IS NOT NULL AND v.edges <> v.new_edges)
FROM visits v
LEFT JOIN accounts a ON a.id = v.account_id
LEFT JOIN runs r ON r.id = v.run_id
LEFT JOIN frontier f ON f.account_id = v.account_id
LEFT JOIN (SELECT visit_id, count(*) AS pages FROM ledger WHERE outcome = 'settled' GROUP BY visit_id) c
       ON c.visit_id = v.id
LEFT JOIN (SELECT account_id, min(id) AS id FROM visits GROUP BY account_id) n
       ON n.account_id = v.account_id AND n.id = v.id
""",
    broken=(
        Broken(code="visits_orphaned", finding="{count} visits are of accounts that do not exist"),
        Broken(code="visits_orphaned", finding="{count} visits belong to runs that do not exist"),
        Broken(code="visits_forgotten", finding="{count} visits are open and no entry goes on with them"),
        Broken(code="visit_counters", finding="{count} visits say another number of pages than the ledger"),
        Broken(code="visit_counters", finding="{count} visits have counters that contradict each other"),
        Broken(code="visit_counters", finding="{count} first visits say that they saw known follows"),
    ),
)

_NEW_EDGES = Question(
    sql="""
SELECT count(*) FILTER (WHERE v.brought <> coalesce(f.stored, 0) + coalesce(p.stored, 0))
FROM (SELECT account_id, sum(new_edges) AS brought FROM visits GROUP BY account_id) v
LEFT JOIN (SELECT src, count(*) AS stored FROM follows GROUP BY src) f ON f.src = v.account_id
LEFT JOIN (SELECT src, count(*) AS stored FROM past_follows GROUP BY src) p ON p.src = v.account_id
""",
    broken=(
        Broken(
            code="visit_counters",
            finding="{count} accounts have another number of follows than their visits brought",
        ),
    ),
)

_RUNS = Question(
    sql="""
SELECT (SELECT coalesce(sum(new_edges), 0) FROM runs) <> (SELECT coalesce(sum(new_edges), 0) FROM visits)
    OR (SELECT coalesce(sum(new_accounts), 0) FROM runs) <> (SELECT coalesce(sum(new_accounts), 0) FROM visits),
       (SELECT count(*) FROM processes p LEFT JOIN runs r ON r.id = p.run_id WHERE r.id IS NULL)
""",
    broken=(
        Broken(
            code="run_counters",
            finding="the runs say together another number of new follows or accounts than the visits",
        ),
        Broken(code="processes_orphaned", finding="{count} processes belong to runs that do not exist"),
    ),
)

_LEDGER = Question(
    sql="""
SELECT count(*) FILTER (WHERE r.id IS NULL),
       count(*) FILTER (WHERE l.visit_id IS NOT NULL AND v.id IS NULL),
       count(*) FILTER (WHERE v.id IS NOT NULL AND coalesce(l.account_id, -1) <> v.account_id),
       count(*) FILTER (WHERE NOT CASE l.outcome
           WHEN 'settled' THEN l.charged >= 0 AND l.uncertain = 0
           WHEN 'released' THEN l.charged = 0 AND l.uncertain = 0
           WHEN 'uncertain' THEN l.charged = 0 AND l.uncertain = 1
           WHEN 'reconciled' THEN l.charged BETWEEN 0 AND -l.uncertain
           ELSE l.id IS NULL END),
       coalesce(max(l.id), 0) - count(*),
       count(*) FILTER (WHERE l.outcome = 'settled' AND coalesce(l.cause, '') NOT IN ('forgotten', 'purged')
                           AND c.ledger_id IS NULL AND k.run_id IS NOT NULL)
FROM ledger l
LEFT JOIN runs r ON r.id = l.run_id
LEFT JOIN visits v ON v.id = l.visit_id
LEFT JOIN archive c ON c.ledger_id = l.id
LEFT JOIN (SELECT DISTINCT run_id FROM archive JOIN ledger ON id = ledger_id) k ON k.run_id = l.run_id
""",
    broken=(
        Broken(code="ledger_orphaned", finding="{count} rows of the ledger belong to runs that do not exist"),
        Broken(code="ledger_orphaned", finding="{count} rows of the ledger belong to visits that do not exist"),
        Broken(code="ledger_orphaned", finding="{count} rows of the ledger name another account than their visit"),
        Broken(code="ledger_rows", finding="{count} rows of the ledger contradict themselves"),
        Broken(code="ledger_gaps", finding="{count} rows are missing from the ledger"),
        Broken(
            code="archive_gaps",
            severity="warning",
            finding="{count} pages are not in the archive although others of their run are",
            remedy="Nothing is lost but the raw answers; without them the database cannot be replayed.",
        ),
    ),
)

_ARCHIVE = Question(
    sql="""
SELECT count(*) FILTER (WHERE coalesce(l.outcome, '') <> 'settled'),
       count(*) FILTER (WHERE c.dictionary_id IS NOT NULL AND d.id IS NULL)
FROM archive c LEFT JOIN ledger l ON l.id = c.ledger_id LEFT JOIN dictionaries d ON d.id = c.dictionary_id
""",
    broken=(
        Broken(code="archive_orphaned", finding="{count} archived answers belong to no page of the ledger"),
        Broken(code="archive_unreadable", finding="{count} archived answers need a dictionary that is not there"),
    ),
)

_NOTES = Question(
    sql="""
SELECT (SELECT count(*) FROM journal WHERE ledger_id > (SELECT coalesce(max(id), 0) FROM ledger))
     + (SELECT count(*) FROM (SELECT ledger_id < lag(ledger_id) OVER (ORDER BY id) AS back FROM journal) WHERE back),
       (SELECT count(*) FROM balances WHERE ledger_id > (SELECT coalesce(max(id), 0) FROM ledger)),
       (SELECT count(*) FROM handle_history h LEFT JOIN accounts a ON a.id = h.account_id WHERE a.id IS NULL)
""",
    broken=(
        Broken(
            code="journal_order",
            severity="warning",
            finding="{count} notes of the journal are out of order",
            remedy="A replay of this database may differ from it; nothing else uses the journal.",
        ),
        Broken(code="balances_ahead", severity="warning", finding="{count} balances name calls that were never made"),
        Broken(
            code="handles_orphaned",
            severity="warning",
            finding="{count} former handles belong to accounts that do not exist",
        ),
    ),
)

ALL = (
    _FOLLOWS,
    _PAST_FOLLOWS,
    _ACCOUNTS,
    _FRONTIER,
    _COMPLETENESS,
    _VISITS,
    _NEW_EDGES,
    _RUNS,
    _LEDGER,
    _ARCHIVE,
    _NOTES,
)
