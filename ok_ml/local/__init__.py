"""Processes of one machine: how children are supervised, the broker, and the services of a local deployment."""
