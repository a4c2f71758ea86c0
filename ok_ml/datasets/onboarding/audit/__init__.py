"""What a log holds, before anything is committed from it, and whether an experiment could work on it."""
