"""The HTTP service: predictions by id, a page for people, and the health of everything on one page."""
