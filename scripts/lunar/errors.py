"""The one exception that is meant for the user's eyes."""


class LunarError(Exception):
    """A mistake in the input, the configuration or the machine, with the way out in its message.

    Scripts print the message without a traceback (see ``lunar.progress.script``).
    """


class Diverged(LunarError):
    """Training ended in numbers that are none. A rehearsal counts the setting as the worst and goes on."""
