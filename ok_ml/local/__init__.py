"""Processes of one machine: what it has, how children are supervised, the broker and the services of a local deployment."""
