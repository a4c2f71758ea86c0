"""Pages for people: recommendations of a user, health, monitoring, and the API's description, as Jinja templates."""
