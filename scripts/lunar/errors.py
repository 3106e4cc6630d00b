"""The exceptions that are meant for the user's eyes, and how to tell that memory ran out."""


class LunarError(Exception):
    """A mistake in the input, the configuration or the machine, with the way out in its message.

    Scripts print the message without a traceback (see ``lunar.progress.script``).
    """


class Diverged(LunarError):
    """Training ended in numbers that are none. A rehearsal counts the setting as the worst and goes on."""


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, of a GPU or of the machine; known without loading torch."""
    said = isinstance(error, RuntimeError) and ("DefaultCPUAllocator" in str(error) or "out of memory" in str(error))
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or said
