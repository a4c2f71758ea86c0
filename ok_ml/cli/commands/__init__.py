"""The commands of ok-ml: what each takes and prints; the work is done elsewhere."""
