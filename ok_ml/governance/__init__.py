"""Who may go to production: the promotion gate and its signed record."""
