"""Child processes that never outlive whoever needs them: supervised, guarded, or shared by several commands."""
