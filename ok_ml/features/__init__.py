"""Features: declared once each, computed part by part, exact whatever the number of tasks."""
