"""What people are shown and do, and the oracle that knows why."""
