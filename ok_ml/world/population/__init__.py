"""Who and what is in the simulated network: people, sources, friendships, subscriptions."""
