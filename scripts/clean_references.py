"""Keep the reference prompts that the model refuses for the right reason; store the others beside them.

General questions are all kept, with the model's own answer as their answer.
"""

from lunar.data.rows import REFUSED_AS, with_answer
from lunar.errors import LunarError
from lunar.files import read_rows, write_rows
from lunar.metrics.refusal import classify
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} references", smk.log[0]) as progress:
        for (name, expected), path in zip(REFUSED_AS.items(), smk.input.rows, strict=True):
            rows = [row | {"refusal": classify(row["prediction"])} for row in read_rows(path)]
            kept = [row for row in rows if row["refusal"] == expected]
            progress.say(f"{name}: {len(kept)} of {len(rows)} refused as {expected}")
            few = len(kept) < smk.params.minimum
            if few and not smk.params.needed:
                progress.say(f"{name}: these are few, so all are taken: a model from elsewhere need not refuse")
                kept = rows
            elif few:
                raise LunarError(
                    f"only {len(kept)} of {len(rows)} {name} prompts are refused as {expected}, "
                    f"{smk.params.minimum} are needed. Add rows of part 'build' to data.{name}, turn "
                    "finetune.refusals on so that the model learns to refuse, or lower references.minimum; "
                    f"the answers are in {path}"
                )
            write_rows(smk.output[f"{name}_kept"], kept)
            write_rows(smk.output[f"{name}_dropped"], [row for row in rows if row not in kept])
        general = [with_answer(row, row["prediction"]) for row in read_rows(smk.input.general)]
        write_rows(smk.output.general_kept, general)


main(snakemake)  # noqa: F821
