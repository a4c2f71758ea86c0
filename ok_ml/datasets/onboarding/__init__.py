"""A data set that nobody has described yet: what its files seem to hold, and whether they hold what was said."""
