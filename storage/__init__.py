"""Storage speaks SQL: accounts, follows, frontier, ledger, visits, runs, archive."""
