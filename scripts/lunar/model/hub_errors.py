"""Why something cannot be had from the Hugging Face hub, in words."""


def reason(error: BaseException) -> str:
    """Why the hub's client gave up, and what to do about it, in one line.

    Args:
        error: what ``huggingface_hub`` raised; one class may be another's child, so the order here matters.
    """
    from huggingface_hub import errors

    told = {
        errors.GatedRepoError: "it is gated; accept its terms on its page and log in with the hub's own client",
        errors.RepositoryNotFoundError: "there is no such repository, or it is private; check the id",
        errors.RevisionNotFoundError: "it has no such revision (any more); look the commit up on its page",
        errors.LocalEntryNotFoundError: "the hub cannot be reached; check the network",
        errors.OfflineModeIsEnabled: "HF_HUB_OFFLINE is set; unset it",
        errors.EntryNotFoundError: "it has no such file at that revision; check the file's name and the revision",
    }
    for kind, words in told.items():
        if isinstance(error, kind):
            return words
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{lines[0] if lines else type(error).__name__}; check the network"
