"""The Social Fetch API imitated: a network, the service's rules, a server."""
