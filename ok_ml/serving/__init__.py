"""The HTTP service: predictions by id, their schema, and what it measures of itself."""
