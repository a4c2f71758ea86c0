"""The command `ok-ml`: one module a subcommand, loaded when it is called."""
