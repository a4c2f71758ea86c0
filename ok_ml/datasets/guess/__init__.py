"""What an unknown log seems to hold, and the mapping that would read it."""
