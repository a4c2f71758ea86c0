"""Raw cells as canonical values: ids and their spelling, times, reactions, and which rows are set aside."""
