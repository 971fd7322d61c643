"""Analysis reads and explains: graphs, centrality, communities, coverage, the report."""
