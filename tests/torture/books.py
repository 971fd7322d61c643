"""Three ledgers compared after every death: what the simulator truly charged, what our ledger says, what is stored.

The comparison knows nothing of how the crawl died. It is right for any number of deaths at any moments, as long as the
simulator is faithful, nobody else spends, and a look is taken after each process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from statistics import median

import image
from image import Image
from task import Task
from truth import Lists, reachable

ENDED = ("frontier_empty", "budget_exhausted")
"""Stop reasons of a crawl that is done."""


@dataclass(slots=True, kw_only=True)
class Tally:
    """What was counted over some crawls. The second half must be 0."""

    kills: int = 0
    crawls: int = 0
    charged_truly: int = 0
    calls_settled: int = 0
    calls_uncertain: int = 0
    calls_released: int = 0
    credits_charged: int = 0
    credits_uncertain: int = 0
    pages: int = 0
    follows: int = 0
    flights: list[int] = field(default_factory=list)
    """Pages in flight at each kill."""
    limits: list[int] = field(default_factory=list)
    """Requests in flight allowed at each kill."""
    died_charged: int = 0
    """Pages truly charged whose answer died with its process."""
    listed: int = 0
    """Pages in flight at a kill that the next start listed as uncertain."""
    seconds: list[float] = field(default_factory=list)
    """From each start after a kill to its first newly stored page."""
    bought_again: int = 0
    lost: int = 0
    unlisted: int = 0
    passed: int = 0
    holes: int = 0
    disagreements: int = 0
    findings: list[str] = field(default_factory=list)
    """What went wrong, in words."""

    def add(self, other: Tally) -> None:
        """Take up another tally."""
        for name in (each.name for each in fields(Tally)):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def is_broken(self, go_on_s: float) -> bool:
        """Whether a promise was broken; `go_on_s` is what the median second to go on must stay below."""
        return bool(self.findings) or (bool(self.seconds) and median(self.seconds) >= go_on_s)


class Books:
    """The books of one crawl: one database, from its first process to its last."""

    def __init__(self, name: str, task: Task, charged: Callable[[], Mapping[str, int]], lists: Lists) -> None:
        """`charged` tells how often each page was truly charged up to now, over all crawls of the simulator."""
        self.tally = Tally(crawls=1)
        self.name = name
        self._task = task
        self._ask = charged
        self._before = Counter(charged())
        self._lists = lists
        self._truth: Counter[str] = Counter()
        self._image = Image()
        self._unlisted: Counter[str] = Counter()
        """Pages charged, not stored and not yet listed as uncertain: they must be leased."""
        self._follows: dict[str, set[str]] = {}
        """What the stored pages list."""

    @property
    def is_over(self) -> bool:
        """Whether the run has ended by itself."""
        return self._image.stop_reason is not None

    @property
    def pages(self) -> int:
        """Stored pages at the last look."""
        return self._image.visited_pages

    def look(self, *, killed: bool) -> None:
        """Compare after the end of a process; `killed` for one that got SIGKILL."""
        known, now = self._image, image.read(self._task.database, self._image)
        truth = Counter(self._ask())
        truth.subtract(self._before)
        truth = +truth
        newly_charged = truth - self._truth
        if killed:
            self.tally.kills += 1
            # A process killed before it took back the leases of the one before had none itself.
            has_taken_back = now.died() != known.died() or not known.leased
            self.tally.flights.append(len(now.leased) if has_taken_back else 0)
            self.tally.limits.append(self._task.concurrency)
        self._image, self._truth = now, truth
        self._check_again(known, newly_charged)
        self._check_lost(known, now)
        self._check_flight(known, now, newly_charged)
        self._check_money(now, truth)
        self._check_sums(now)

    def close(self) -> None:
        """Compare at the end of the crawl, when nothing is in flight any more."""
        now, truth, tally = self._image, self._truth, self.tally
        if now.stop_reason not in ENDED:
            self._differ(f"ended with {now.stop_reason}")
        if now.leased or now.reserved:
            self._differ(f"{len(now.leased)} leases and {now.reserved} reserved credits after the end")
        if tally.listed != sum(tally.flights):
            self._differ(f"{sum(tally.flights)} pages were in flight at kills, {tally.listed} are listed")
        settled, died = now.settled(), now.died()
        for page in settled.keys() | truth.keys():
            if not settled[page] <= truth[page] <= settled[page] + died[page]:
                self._differ(f"{page}: charged {truth[page]}, settled {settled[page]}, uncertain {died[page]}")
        stored, complete = image.graph(self._task.database)
        whole = reachable(self._lists, self._task.seeds)
        must = whole if now.stop_reason == "frontier_empty" else {source: self._lists[source] for source in complete}
        for source, targets in must.items():
            if missing := targets - stored.get(source, set()):
                tally.holes += len(missing)
                self._find(f"holes: {len(missing)} follows of {source}")
        for source, has in stored.items():
            if has != self._follows.get(source):
                self._differ(f"the follows of {source} are not those of its stored pages")
            if not has <= whole.get(source, frozenset()):
                self._differ(f"{source} is said to follow accounts that it does not follow")
        tally.charged_truly += truth.total()
        tally.calls_settled += now.count(image.SETTLED)
        tally.calls_uncertain += now.count(image.UNCERTAIN)
        tally.calls_released += now.count(image.RELEASED)
        tally.credits_charged += now.charged
        tally.credits_uncertain += now.uncertain
        tally.pages += now.visited_pages
        tally.follows += now.follows

    def _check_again(self, known: Image, newly_charged: Counter[str]) -> None:
        """A page whose settled row was committed before is not charged after."""
        settled = known.settled()
        for page, times in newly_charged.items():
            if page in settled:
                self.tally.bought_again += times
                self._find(f"bought again: {page}, stored before, was charged {times} more")

    def _check_lost(self, known: Image, now: Image) -> None:
        """No row ever goes or changes, and the stored follows are exactly those that the stored pages list."""
        for number, row in known.rows.items():
            if now.rows.get(number) != row:
                self.tally.lost += row.outcome == image.SETTLED
                self._find(f"lost: row {number} of the ledger was {row}, is {now.rows.get(number)}")
        for number, bought in now.new.items():
            missing = bought.listed - {bought.source} - bought.stored
            if missing or not bought.listed:
                self.tally.lost += 1
                self._find(f"lost: page {now.rows[number].page} has {len(missing)} follows or its body missing")
            self._follows.setdefault(bought.source, set()).update(bought.listed - {bought.source})
        listed = sum(map(len, self._follows.values()))
        if now.follows != listed:
            self.tally.lost += now.follows < listed
            self._differ(f"{now.follows} follows stored, {listed} listed by the stored pages")

    def _check_flight(self, known: Image, now: Image, newly_charged: Counter[str]) -> None:
        """What was charged and is not stored was in flight: leased at the death, uncertain at the next start."""
        listed = now.died() - known.died()
        self.tally.listed += listed.total()
        if listed and listed != Counter(known.leased):
            self._differ("listed as in flight: not the pages that were leased when the process died")
        if not listed and known.leased and now.leased != known.leased:
            self._differ("pages in flight at a death are no longer leased, and were not listed")
        newly_settled = Counter(now.rows[number].page for number in now.new)
        if unpaid := newly_settled - newly_charged:
            self._differ(f"stored and never charged: {sorted(unpaid)}")
        unstored = newly_charged - newly_settled
        self.tally.died_charged += unstored.total()
        self._unlisted = self._unlisted - listed + unstored
        if forgotten := self._unlisted - Counter(now.leased):
            self.tally.unlisted += forgotten.total()
            self._find(f"not listed: charged, neither stored nor uncertain nor leased: {sorted(forgotten)}")
            self._unlisted -= forgotten
        if len(now.leased) > self._task.concurrency:
            self._differ(f"{len(now.leased)} pages in flight, {self._task.concurrency} allowed")

    def _check_money(self, now: Image, truth: Counter[str]) -> None:
        """The budget holds by the simulator's truth and by our books, which enclose the truth."""
        booked = now.charged + now.uncertain + now.reserved
        above = max(truth.total(), booked) - self._task.budget
        if above > 0:
            self.tally.passed = max(self.tally.passed, above)
            self._find(f"budget passed: {truth.total()} truly charged, {booked} booked, {self._task.budget} allowed")
        if not now.charged <= truth.total() <= booked:
            self._differ(f"{truth.total()} truly charged, outside of {now.charged} charged to {booked} booked")

    def _check_sums(self, now: Image) -> None:
        """The sums kept beside the ledger are its sums, and every settled page has its body and its visit."""
        rows = now.rows.values()
        if (now.charged, now.uncertain) != (sum(row.charged for row in rows), sum(row.uncertain for row in rows)):
            self._differ("the run's sums are not those of its ledger")
        if now.reserved != len(now.leased):
            self._differ(f"{now.reserved} credits reserved, {len(now.leased)} leases")
        if now.archived != {number for number, row in now.rows.items() if row.outcome == image.SETTLED}:
            self._differ("archived answers and settled rows are not the same pages")
        if now.visited_pages != now.count(image.SETTLED):
            self._differ(f"visits have {now.visited_pages} pages, the ledger {now.count(image.SETTLED)}")
        if twice := [page for page, times in now.settled().items() if times > 1]:
            self._differ(f"settled more than once: {sorted(twice)}")
        if not now.is_sound:
            self._differ("SQLite finds the file damaged")

    def _differ(self, finding: str) -> None:
        self.tally.disagreements += 1
        self._find(f"disagreement: {finding}")

    def note(self, finding: str) -> None:
        """Note something else that went wrong with a process."""
        self._differ(finding)

    def _find(self, finding: str) -> None:
        self.tally.findings.append(f"{self.name}: {finding[:500]}")
