"""Names of splits that the workflow and its jobs share."""

# Files that the data step writes, one a split (what they hold: lunar.data.rows).
SPLITS = (
    *("forget", "forget_paraphrase", "forget_validation", "retain", "unseen"),
    *("general", "general_build", "general_validation", "harmful", "harmful_build", "fictitious", "fictitious_build"),
    *("refusals", "refusals_build"),
)

# Splits that every method answers, and those that only the model before unlearning does: what all else is built from.
ANSWERED = ("forget", "forget_paraphrase", "retain", "unseen", "general", "harmful", "fictitious")
BUILT_FROM = ("general_build", "harmful_build", "fictitious_build")
# Splits whose questions are asked under attack, the second in part.
ATTACKED = ("forget", "retain")
# Splits that a ladder is judged by.
LADDER_SPLITS = ("forget", "retain", "unseen", "general")
