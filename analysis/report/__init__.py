"""The report: one HTML file that works offline, the same numbers as JSON and as CSV tables."""
