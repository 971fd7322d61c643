"""The crawler decides and spends: engine, workers, limiter, policy, budget, strategies."""
