"""Drills: whole stories played on a living deployment, with what must hold asserted at the end."""
