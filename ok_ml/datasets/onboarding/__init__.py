"""A data set that is not described yet: what its files seem to hold, and whether they hold what was said."""
