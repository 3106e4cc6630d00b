"""A model that was unlearned elsewhere, as a plain folder beside the model before.

The rest of the workflow loads it as it loads the models that are made here. So it has the tokenizer, the chat template
and the ends of answers of the model before, and is refused where its own would put questions otherwise.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from lunar.data.checksum import sha256
from lunar.errors import LunarError, out_of_memory
from lunar.files import Row, atomic_folder, read_json, write_json
from lunar.model import pair
from lunar.model.chat import Chat
from lunar.model.folder import header, refuse, weights
from lunar.model.load import generation_ends, load_model, load_tokenizer, pretrained
from lunar.model.template import TODAY, settled

# What a folder holds besides its configuration and weights; it comes from the model before.
TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
    "chat_template.json",
)
INDEX = "model.safetensors.index.json"
ASKED = 64  # tokens that an adapted model and the merged one are compared on
SAME = 1e-3  # largest difference between their logits, as a share of the largest logit
MERGE = f"{pair.OTHER}, or merge it yourself and name the whole model as folder"


def take(
    origin: Path,
    before: Path,
    folder: Path,
    rows: Sequence[Row],
    dtype: str,
    settings: Mapping[str, Any],
) -> list[str]:
    """Make the plain folder of a model from elsewhere, after it was found to belong to the model before.

    Args:
        origin: a Hugging Face model folder, or a PEFT folder.
        before: folder of the model before unlearning.
        folder: where to; exists only if all went well.
        rows: rows with ``question`` and ``answer``, which both tokenizers have to put alike.
        dtype: of the weights of an adapter that is merged.
        settings: ``template_arguments`` and ``date`` of the ``model`` section.

    Returns:
        What was done to it, a sentence each.

    Raises:
        LunarError: it cannot be read, or its tokenizer, template or architecture is not that of the model before.
    """
    adapter = pair.is_adapter(origin)
    refuse(pair.unfit(origin, before))
    check_tokenizer(origin, before, rows, settings)
    if adapter:
        check_base(origin, before)
    else:
        check_defaults(origin, before)
    with atomic_folder(folder) as temporary:
        done = _merge(origin, before, temporary, dtype) if adapter else _link(origin, before, temporary)
        for name in TOKENIZER:
            (temporary / name).unlink(missing_ok=True)
            if (before / name).is_file():
                shutil.copyfile(before / name, temporary / name)
        _take_ids(temporary / pair.CONFIG, before / pair.CONFIG)
        if ends := generation_ends(before):
            write_json(temporary / "generation_config.json", {"eos_token_id": ends})
    return done


def _take_ids(config: Path, before: Path) -> None:
    """Have a config.json, which may be a link, with the ids of another one; own ones may be of tokens that are gone."""
    ids = {key: value for key, value in read_json(before).items() if key in pair.IDS}
    held = {key: value for key, value in read_json(config).items() if key not in pair.IDS}
    config.unlink()
    write_json(config, held | ids)


def check_tokenizer(origin: Path, before: Path, rows: Sequence[Row], settings: Mapping[str, Any]) -> None:
    """Refuse a tokenizer or a template that puts a row otherwise than the model before; a folder may have none.

    Raises:
        LunarError: names the token or the question that differs.
    """
    if not any((origin / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        return
    from transformers import AutoTokenizer

    own, wanted = (
        AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False) for path in (origin, before)
    )
    refuse(pair.other_tokens(origin, own.get_vocab(), wanted.get_vocab()))
    text = own.chat_template.get("default") if isinstance(own.chat_template, dict) else own.chat_template
    if not text:
        return
    own.chat_template = settled(text, settings.get("template_arguments") or {}, settings.get("date") or TODAY)
    chats = Chat(load_tokenizer(before)), Chat(_padded(own))
    for row in rows:
        asked = [chat.encode(row["question"], row["answer"]).ids for chat in chats]
        if asked[0] != asked[1]:
            place = next((n for n, (a, b) in enumerate(zip(*asked, strict=False)) if a != b), len(min(asked, key=len)))
            put = [repr(wanted.decode(ids[max(0, place - 8) : place + 8])) for ids in asked]
            raise LunarError(
                f"{origin}: its chat template or tokenizer puts {row['question']!r} otherwise than the model before "
                f"(around token {place}: {put[1]}, not {put[0]}); leave its tokenizer files out if it was trained with "
                "those of the model before, or name the model that it was made of"
            )


def _padded(tokenizer: Any) -> Any:
    """A tokenizer with a padding token."""
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def check_defaults(origin: Path, before: Path) -> None:
    """Refuse a model whose configuration differs in what it leaves to the library's defaults.

    Raises:
        LunarError: names the entries that differ.
    """
    from transformers import AutoConfig

    own, wanted = (
        AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False).to_dict()
        for path in (origin, before)
    )
    refuse(pair.other_config(origin, own, wanted))


def check_base(origin: Path, before: Path) -> None:
    """Refuse an adapter that names another model as its base, where that is a folder here.

    Raises:
        LunarError: names the other model.
    """
    named = str(read_json(origin / "adapter_config.json").get("base_model_name_or_path") or "")
    if named and (Path(named) / "config.json").is_file() and (name := differing(Path(named), before)):
        raise LunarError(
            f"{origin}: it was trained on {named}, whose {name} is not that of the model before; {pair.OTHER}"
        )


def differing(one: Path, other: Path) -> str | None:
    """The first weight of the same name that differs between two model folders; None where there is none.

    A head that is tied to the embeddings is in some folders and not in others.
    """
    places = [_places(folder) for folder in (one, other)]
    for name in sorted(places[0].keys() & places[1].keys()):
        with safe_open(places[0][name], "pt") as first, safe_open(places[1][name], "pt") as second:
            values = first.get_tensor(name), second.get_tensor(name)
        if values[0].shape != values[1].shape or not torch.equal(values[0].float(), values[1].float()):
            return name
    return None if places[0].keys() & places[1].keys() else "set of weights"


def _places(folder: Path) -> dict[str, Path]:
    """The file of each tensor in a model folder."""
    return {name: path for path in sorted(folder.glob("*.safetensors")) for name in header(path, [])}


def digests(folder: Path) -> dict[str, str]:
    """The sha256 of what a model or an adapter is made of, by the file's name: configuration, weights, tokenizer."""
    kinds = ("*.json", "*.safetensors", "*.jinja", "*.model", "merges.txt")
    return {path.name: sha256(path) for path in sorted({one for kind in kinds for one in folder.glob(kind)})}


def _link(origin: Path, before: Path, folder: Path) -> list[str]:
    """A folder of links to a model's files; rows of its embeddings that the model before has not are cut off."""
    rows = [pair.rows(weights(path, [])) for path in (origin, before)]
    if rows[0] > rows[1]:
        model = pretrained(origin, torch.float32, use_safetensors=True)
        model.resize_token_embeddings(rows[1], mean_resizing=False)
        model.save_pretrained(folder)
        return [f"{rows[0] - rows[1]} rows of its embeddings, which no token of the model before has, were cut off"]
    for file in origin.iterdir():
        if file.is_file() and (file.suffix == ".safetensors" or file.name in ("config.json", INDEX)):
            (folder / file.name).symlink_to(file.resolve())
    return []


def _merge(origin: Path, before: Path, folder: Path, dtype: str) -> list[str]:
    """The model before with an adapter merged into its weights, in float32, and saved in ``dtype``.

    Raises:
        LunarError: a weight of the adapter is missing, or the merged model is not the adapted one.
    """
    from peft import PeftModel

    model = load_model(before, device="cpu")
    if _adapts_one_of_tied(model, origin):
        # The adapter changes one of the two, so merging it into the weight that they share would change both.
        model.config.tie_word_embeddings = False
        head = model.get_output_embeddings()
        head.weight = torch.nn.Parameter(head.weight.detach().clone())
    asked = torch.arange(min(ASKED, pair.rows(weights(before, []))))[None]
    try:
        adapted = PeftModel.from_pretrained(model, str(origin), local_files_only=True).eval()
        # Weights that no file has stay as they were drawn, and the library only warns.
        told = adapted.load_adapter(str(origin), adapted.active_adapter, local_files_only=True)
        if missing := [name for name in told.missing_keys if ".lora_" in name]:
            said = f"{len(missing)} weights are missing in {pair.ADAPTER}, such as {missing[0]}"
            raise LunarError(f"{origin}: {said}; save the adapter again with save_pretrained")
        with torch.no_grad():
            wanted = adapted(asked).logits
            merged = adapted.merge_and_unload(safe_merge=True)
            found = merged(asked).logits
    except Exception as error:  # the library raises many kinds
        if out_of_memory(error) or isinstance(error, LunarError):
            raise
        said = " ".join(str(error).split())[:200]
        raise LunarError(f"{origin}: peft cannot merge the adapter into the model before: {said}; {MERGE}") from error
    if (found - wanted).abs().max() > SAME * wanted.abs().max():
        raise LunarError(
            f"{origin}: merged into the model before, the adapter does not do what it does beside it; {MERGE}"
        )
    merged.to(getattr(torch, dtype)).save_pretrained(folder)
    return [f"the adapter was merged into the weights of the model before, which are {dtype}"]


def _adapts_one_of_tied(model: Any, origin: Path) -> bool:
    """Whether embeddings and head are one weight, and an adapter changes either by factors and was not tied itself."""
    if read_json(origin / pair.ADAPTER_CONFIG).get("ensure_weight_tying"):
        return False
    embeddings, head = model.get_input_embeddings(), model.get_output_embeddings()
    names = (name.partition(".lora_")[::2] for name in header(origin / pair.ADAPTER, []))
    factored = any(half and module.endswith(("embed_tokens", "lm_head")) for module, half in names)
    return factored and head.weight is embeddings.weight
