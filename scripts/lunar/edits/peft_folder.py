"""An edit as a PEFT folder, shown to be the edit in a process that loads it with PEFT alone."""

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from lunar.edits import answer_ids, load_adapter
from lunar.edits import edit as edits
from lunar.edits.apart import run_apart
from lunar.edits.edit import Edit, block_of
from lunar.edits.low_rank import LowRank
from lunar.errors import LunarError
from lunar.files import Row, write_json, write_text
from lunar.model.chat import Chat
from lunar.model.generate import generate
from lunar.model.load import load_model

SERVED = (8, 16, 32, 64, 128, 256, 320, 512)  # ranks that any vLLM can be started for; newer ones know 1, too
TOLERANCE = 1e-4  # by which a logit may differ from the edited model's
Answers = tuple[torch.Tensor, torch.Tensor]  # token ids, and the logits that they were chosen from


def configuration(edit: LowRank, base: str) -> dict[str, Any]:
    """The content of adapter_config.json.

    ``target_modules`` is a plain list of last names, and ``lora_alpha`` an integer that equals the rank, since servers
    ignore patterns and read no fractions.

    Args:
        edit: completed, so that names times blocks are its modules.
        base: folder of the model before the edit.
    """
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": edit.rank,
        "lora_alpha": edit.rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "use_rslora": False,
        "use_dora": False,
        "fan_in_fan_out": False,
        "modules_to_save": None,
        "target_modules": sorted({name.rpartition(".")[2] for name in edit.modules}),
        "layers_to_transform": sorted({block_of(name) for name in edit.modules}),
        "layers_pattern": "layers",
        "inference_mode": True,
    }


def write(edit: LowRank, model: Any, base: str, folder: Path) -> None:
    """Write an adapter, the sha256 of its base's weights, and the program that compares them.

    Args:
        edit: completed.
        model: the base, for the place of its decoder.
        base: its folder.
        folder: exists, and is empty.

    Raises:
        LunarError: the base has no safetensors file.
    """
    decoder = next(name for name, module in model.named_modules() if module is model.get_decoder())
    tensors = {}
    for name, factors in edit.modules.items():
        place = ".".join(part for part in ("base_model.model", decoder, name) if part)
        tensors[f"{place}.lora_A.weight"] = factors.right.T.contiguous()
        tensors[f"{place}.lora_B.weight"] = factors.left.contiguous()
    hashes = load_adapter.hashes(base)
    if not hashes:
        raise LunarError(f"export: {base} has no *.safetensors, whose sha256 an adapter needs to know its base")
    save_file(tensors, folder / "adapter_model.safetensors", {"format": "pt", "base_sha256": json.dumps(hashes)})
    write_json(folder / "adapter_config.json", configuration(edit, base))
    write_text(folder / load_adapter.HASHES, "".join(f"{digest}  {name}\n" for name, digest in hashes.items()))
    shutil.copyfile(load_adapter.__file__, folder / "load.py")
    mode = (folder / "adapter_config.json").stat().st_mode
    for file in folder.iterdir():  # weights come readable to their owner only, but this is to be passed on
        file.chmod(mode)


def compared(
    base: str | Path,
    adapters: Sequence[str | Path],
    expected: Answers,
    device: str,
    dtype: str,
    threads: int,
    **how: Any,
) -> dict[str, Any]:
    """What base and adapters answer in a process that has PEFT and nothing of this library.

    Args:
        base: folder of the model before the edit.
        adapters: folders that ``write`` made, loaded together.
        expected: what the edited model answered.
        device, dtype: that the edited model answered on and in, such as ``cpu`` and ``float32``.
        threads: of the process.
        how: ``prompts``, ``ends``, ``pad`` and ``max_new_tokens`` of ``lunar.edits.answer_ids.answers``.

    Returns:
        As ``lunar.edits.answer_ids.compare``.

    Raises:
        LunarError: the process failed; says its last words.
    """
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "expected.safetensors"
        save_file({"ids": expected[0].contiguous(), "logits": expected[1].contiguous()}, file)
        places = {"base": str(Path(base).resolve()), "adapters": [str(Path(one).resolve()) for one in adapters]}
        where = {"device": device, "dtype": dtype}
        task = places | where | {"expected": str(file), "threads": threads} | how
        outcome = run_apart(answer_ids.__file__, task)
    if outcome.returncode:
        last = outcome.stderr.strip().splitlines()[-1:]
        raise LunarError(f"export: PEFT alone cannot use the adapter: {''.join(last)[-1000:]}")
    return json.loads(outcome.stdout)


def proven(changes: Edit, base: str | Path, folder: Path, threads: int, **how: Any) -> dict[str, Any]:
    """Have a process with PEFT alone give the edited model's logits, and refuse an adapter that does not.

    An answer may differ where two tokens are closer to each other than the tolerance; such near ties are counted, and
    not refused: up to there the logits are the same. Where float32 alone rounds by more than the tolerance, as it may
    where large terms cancel, the comparison is made in float64.

    Args:
        changes: the edit, or what it was truncated to.
        base: folder of the model before the edit.
        folder: that ``write`` made.
        threads: of the process.
        how: as for ``compared``.

    Returns:
        As ``compared``, with ``float32``, the difference in that precision where float64 decided; else None.

    Raises:
        LunarError: a logit differs by more than ``TOLERANCE``.
    """
    found: dict[str, Any] = {}
    for dtype in ("float32", "float64"):
        model = load_model(base, dtype)
        edits.apply(model, changes)
        expected = answer_ids.answers(model, **how)
        device, before = str(model.device), found.get("difference")
        del model  # the process loads it again
        found = compared(base, [folder], expected, device, dtype, threads, **how) | {"float32": before}
        if found["difference"] <= TOLERANCE:
            return found
    raise LunarError(
        f"export: with the adapter a logit differs by {found['difference']:.2g} from the edited model's, of "
        f"{found['logit']:.3g} at most; allowed is {TOLERANCE}. Nothing was exported"
    )


def facts(edit: LowRank, base: str, found: dict[str, Any], ends: Sequence[int]) -> dict[str, Any]:
    """What a card says of an adapter.

    Args:
        edit: what was written.
        base: folder of the model before the edit.
        found: as ``compared`` gives it.
        ends: tokens that end an answer.

    Returns:
        Values of the template's ``adapter``, but for those of ``truncation``.
    """
    return {
        "base": base,
        "hashes": load_adapter.hashes(base),
        "rank": edit.rank,
        "served": next(rank for rank in SERVED if rank >= edit.rank),
        "truncated": edit.truncated,
        "difference": f"{found['difference']:.1e}",
        "float32": f"{found['float32']:.1e}" if found["float32"] is not None else None,
        "logit": f"{found['logit']:.1f}",
        "tolerance": TOLERANCE,
        "ties": len(found["differs"]),
        "ends": list(ends),
    }


def truncation(
    edit: LowRank,
    whole: Edit,
    model: Any,
    chat: Chat,
    sets: Mapping[str, Sequence[Row]],
    generation: Mapping[str, int],
    score: Callable[[Row], float],
) -> dict[str, Any]:
    """What truncation changes, by the answers that the workflow would give.

    Args:
        edit: what was written.
        whole: the edit before it was truncated.
        model, chat, generation: as for ``lunar.model.generate.generate``; the model is the base.
        sets: rows by set.
        score: ROUGE-1 of a row with a ``prediction``.

    Returns:
        ``left_out``, the largest share; ``changed``, how many of ``told`` answers differ; the mean score of each set
        with each edit, by names such as ``forget_whole``.
    """
    rows = [(name, row) for name, each in sets.items() for row in each]
    told, found = {}, {}
    for way, changes in (("whole", whole), ("truncated", edit.modules)):
        with edits.applied(model, changes):
            told[way] = generate(model, chat, [row["question"] for _, row in rows], **generation)
        for name in sets:
            own = [(row, answer) for (key, row), answer in zip(rows, told[way], strict=True) if key == name]
            scores = [score(row | {"prediction": answer}) for row, answer in own]
            found[f"{name}_{way}"] = f"{sum(scores) / len(scores):.3f}"
    return {
        "limit": edit.rank,
        "left_out": f"{max(edit.left_out.values()):.1%}",
        "changed": sum(one != other for one, other in zip(*told.values(), strict=True)),
        "told": len(rows),
        **found,
    }


def kinds(edit: LowRank) -> dict[str, str]:
    """How each module is changed, by its name in the decoder."""
    return {
        name: f"rank {rank}" + (f", which leaves out {edit.left_out[name]:.1%}" if edit.left_out[name] else "")
        for name, rank in edit.ranks.items()
    }
