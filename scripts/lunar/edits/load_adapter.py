"""Load adapters on their base model by PEFT alone, once the base is found to be the one that they were made for.

    python load.py BASE                          # compares the base's sha256 with this folder's base.sha256
    python load.py BASE --and OTHER --ask "..."  # this adapter and another one together answer a question
    python load.py BASE --and OTHER --join BOTH  # writes both as one adapter, for servers that take one a request

As a module, ``load(base, adapters)`` gives the model. Needs torch, transformers and peft. PEFT by itself loads an
adapter on every base whose weights have the right shapes, and then answers are wrong without a word.
"""

import argparse
import hashlib
import json
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HASHES = "base.sha256"  # in the form that `sha256sum --check` reads
LAYER = r"\.layers\.\d+\."


class WrongBase(Exception):
    """The base is not the model that an adapter was made for."""


def hashes(base: str | Path) -> dict[str, str]:
    """sha256 of a model folder's weights, by file name."""
    found = {}
    for path in sorted(Path(base).glob("*.safetensors")):
        with path.open("rb") as file:
            found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def check(base: str | Path, adapter: str | Path) -> None:
    """Compare a base with the one that an adapter was made for.

    Raises:
        WrongBase: it is another one, or a folder without weights.
    """
    lines = (Path(adapter) / HASHES).read_text(encoding="utf-8").splitlines()
    asked = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    found = hashes(base)
    if found != asked:
        name = next(name for name in sorted({*asked, *found}) if asked.get(name) != found.get(name))
        raise WrongBase(
            f"{base}: not the model that the adapter {adapter} was made for: sha256 of {name} is "
            f"{found.get(name, 'not there')}, but {HASHES} says {asked.get(name, 'that there is no such file')}; load "
            "the adapter on the model before the edit, never on an edited or otherwise trained one"
        )


def load(base: str | Path, adapters: Sequence[str | Path], **where: Any) -> Any:
    """The base with all of the adapters at work, named ``0``, ``1`` and so on, in evaluation mode.

    Args:
        base: folder of the model before the edits.
        adapters: folders, one at least.
        where: further arguments of transformers' ``from_pretrained``, such as ``dtype``.

    Raises:
        WrongBase: as ``check``, for one of the adapters.
    """
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    for adapter in adapters:
        check(base, adapter)
    model: Any = AutoModelForCausalLM.from_pretrained(base, trust_remote_code=False, **where)
    model = PeftModel.from_pretrained(model, str(adapters[0]), adapter_name="0")
    for number, adapter in enumerate(adapters[1:], start=1):
        model.load_adapter(str(adapter), adapter_name=str(number))
    model.base_model.set_adapter([str(number) for number in range(len(adapters))])
    model.requires_grad_(False)
    return model.eval()


def join(adapters: Sequence[str | Path], folder: str | Path) -> None:
    """Write several adapters of one base as one, whose rank is the sum of theirs; this program comes beside it.

    PEFT's ``add_weighted_adapter`` keeps the blocks of the first adapter alone, so it is not used here.

    Args:
        adapters: folders, as for ``load``.
        folder: to write; it must not be there.

    Raises:
        FileExistsError: the folder is there.
        WrongBase: the adapters were made for several bases.
    """
    import torch
    from safetensors.torch import load_file, save_file

    places = [Path(adapter) for adapter in adapters]
    for place in places[1:]:
        if (place / HASHES).read_text(encoding="utf-8") != (places[0] / HASHES).read_text(encoding="utf-8"):
            raise WrongBase(f"{place}: made for another base than {places[0]}; only adapters of one base can be joined")
    told = [json.loads((place / "adapter_config.json").read_text(encoding="utf-8")) for place in places]
    given = [load_file(place / "adapter_model.safetensors") for place in places]
    joined = {"r": sum(one["r"] for one in told), "lora_alpha": sum(one["lora_alpha"] for one in told)}
    joined |= {
        key: sorted({each for one in told for each in one[key]}) for key in ("target_modules", "layers_to_transform")
    }
    # Every name at every block, as a configuration asks; zeros where an adapter has none.
    sizes = {re.sub(LAYER, ".layers.{}.", key): tensor.shape for each in given for key, tensor in each.items()}
    tensors = {}
    for pattern, shape in sizes.items():
        axis = 0 if ".lora_A." in pattern else 1
        for block in joined["layers_to_transform"]:
            key = pattern.format(block)
            parts = []
            for one, each in zip(told, given, strict=True):
                size = (one["r"], shape[1]) if axis == 0 else (shape[0], one["r"])
                parts.append(each.get(key, torch.zeros(size)))
            tensors[key] = torch.cat(parts, dim=axis)
    folder = Path(folder)
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps(told[0] | joined, indent=2) + "\n", encoding="utf-8")
    save_file(tensors, folder / "adapter_model.safetensors", {"format": "pt"})
    shutil.copyfile(places[0] / HASHES, folder / HASHES)
    shutil.copyfile(__file__, folder / "load.py")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Check the base of an adapter, ask both, join adapters.")
    parser.add_argument("base", help="folder of the model before the edit")
    parser.add_argument("--and", dest="others", action="append", default=[], help="a further adapter's folder")
    parser.add_argument("--ask", help="a question to answer")
    parser.add_argument("--join", help="a new folder, to write all adapters to as one")
    asked = parser.parse_args()
    adapters = [Path(__file__).parent, *asked.others]
    try:
        for adapter in adapters:
            check(asked.base, adapter)
        print(f"{asked.base}: the model that {'these adapters were' if asked.others else 'this adapter was'} made for")
        if asked.ask:
            print(_answer(load(asked.base, adapters), asked.base, asked.ask))
        if asked.join:
            join(adapters, asked.join)
    except (WrongBase, FileExistsError) as error:
        sys.exit(str(error))


def _answer(model: Any, base: str, question: str) -> str:
    """A greedy answer by the base's chat template."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    messages = [{"role": "user", "content": question}]
    inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    output = model.generate(**inputs, max_new_tokens=128, do_sample=False)
    return tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


if __name__ == "__main__":
    main()
