"""What ends a command: one sentence that says what is wrong and what to do."""


class CliError(Exception):
    """Ends the command with status 1; its text goes to standard error."""
