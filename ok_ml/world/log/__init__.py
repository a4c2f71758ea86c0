"""The network's own log: days, their faults and incidents, and the clock."""
