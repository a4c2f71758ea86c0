"""From candidates to lists: features of pairs, rankers, what they learn from, and the baselines."""
