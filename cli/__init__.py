"""The command `followgraph`: reads configuration, builds every object, owns exit codes."""
