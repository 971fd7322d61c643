"""Strategies, one a file; `registry` lists them."""
