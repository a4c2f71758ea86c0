"""Pipeline types: which stages a type has, and what each is made from. No Dagster here."""
