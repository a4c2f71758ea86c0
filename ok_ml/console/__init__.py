"""Pages for people (recommendations, health, monitoring) as Jinja templates, and the process that serves them with the API."""
