"""Raw logs, simulated or real, as committed canonical partitions."""
