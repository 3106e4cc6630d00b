"""The one exception that is meant for the user's eyes."""


class LunarError(Exception):
    """A mistake in the input, the configuration or the machine, with the way out in its message.

    Scripts print the message without a traceback (see ``lunar.progress.script``).
    """
