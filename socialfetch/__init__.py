"""Everything that knows the Social Fetch API: its messages, a client, a simulator."""
