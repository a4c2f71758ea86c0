"""The band in which a daily number should lie, from its own history."""
