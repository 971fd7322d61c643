"""The daemon's page: what it shows, how it is served, what may be asked of it."""
