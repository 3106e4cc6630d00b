"""What the files of a model folder tell before anything is loaded: config.json, headers of weights, the tokenizer.

Needs neither torch nor transformers: ``snakemake check`` asks here in seconds, and ``fetch_model`` before it loads.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lunar.errors import LunarError, shown
from lunar.model.findings import Finding

POINTER = b"version https://git-lfs"
ANEW = "download the file again"
FULL = "take the folder with full-precision weights"
SAVE = "save it again with save_pretrained"
# Numbers that weights may be; others are packed or quantised.
FLOATS = ("F64", "F32", "F16", "BF16")
# What tools put before the names of weights, and how to save the weights without it.
PREFIXES = {
    "_orig_mod.": "torch.compile did that; save model._orig_mod",
    "base_model.model.": "PEFT did that; save what merge_and_unload() of the adapted model gives",
    "module.": "DataParallel or FSDP did that; save model.module",
}
# The decoder's parts as Llama and its kin call them; what stands before is a prefix.
PART = re.compile(r"((?:.*?\.)??)(?:model\.)?(?:embed_tokens|layers\.\d+)\.")
BLOCK = re.compile(r"(?:^|\.)layers\.(\d+)\.")
DOWN = "mlp.down_proj.weight"
# Tags of transformers' own that Jinja does not know.
TAGS = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}")

Tensors = dict[str, tuple[str, list[int]]]  # type of numbers and shape, by name


def look(folder: Path) -> list[Finding]:
    """Everything about a model folder that keeps LUNAR from working with it, as far as its files tell."""
    if not folder.is_dir():
        return [wrong("folder", f"no folder {folder}", "correct model.folder")]
    if found := _gone(folder):
        return found
    adapter, config = (folder / "adapter_config.json").is_file(), {}
    merge = "merge it into its model (merge_and_unload) and save that with save_pretrained"
    if adapter:
        found.append(
            wrong("adapter", f"adapter_config.json in {folder}: an adapter beside or instead of a model", merge)
        )
    if not (folder / "config.json").is_file():
        if not adapter:
            said = "model.folder is to be a Hugging Face model folder"
            found.append(wrong("config", f"no config.json in {folder}", said))
    else:
        config = read_object(folder / "config.json", found)
        found += _architecture(folder / "config.json", config) if config else ()
    tensors: Tensors = {}
    if not adapter or config:
        tensors = weights(folder, found)
    if config and tensors and not any(one.what in ("experts", "weights") for one in found):
        found += _names(folder, config, tensors)
    found += _tokenizer(folder, config, tensors)
    return found


def check_folder(folder: Path) -> None:
    """Refuse a model folder.

    Raises:
        LunarError: a line for everything that ``look`` finds.
    """
    refuse(look(folder))


def check_tokenizer(folder: Path) -> None:
    """Refuse a folder's tokenizer; the folder may hold no model.

    Raises:
        LunarError: a line for everything that is wrong with its files.
    """
    refuse(_gone(folder) or _tokenizer(folder, {}, {}))


def _gone(folder: Path) -> list[Finding]:
    """The finding that a file is a link to one that was moved or deleted, as in a cache that was copied."""
    read = (path for kind in ("*.json", "*.jinja", "*.safetensors", "*.model") for path in folder.glob(kind))
    dead = sorted(path for path in read if path.is_symlink() and not path.exists())
    if not dead:
        return []
    said = f"{dead[0]} is a link to {dead[0].readlink()}, which is not there"
    return [wrong("file", said, f"put it there again; or, if {folder} lies in results/, delete {folder}")]


def refuse(found: Sequence[Finding]) -> None:
    """Raise a LunarError with a line for each finding, if there is any."""
    if found:
        raise LunarError(*(f"{one.found}; {one.remedy}" for one in found))


def wrong(what: str, found: str, remedy: str) -> Finding:
    """A finding that does not fit."""
    return Finding(what, False, found, remedy)


def own_code(path: Path) -> Finding:
    """The finding that a file asks for code of the model."""
    said = f"{path} has auto_map: the model comes with code, which is never run"
    return wrong("code", said, "take a model that transformers knows; if it knows this one by now, remove the key")


def read_json(path: Path, found: list[Finding]) -> Any:
    """What a JSON file holds; None and a finding where it holds none."""
    try:
        data = path.read_bytes()
        if data.startswith(POINTER):
            found.append(wrong("file", f"{path} is a Git LFS pointer, not the file", "run `git lfs pull` there"))
            return None
        return json.loads(data.decode("utf-8-sig"))
    except OSError as error:
        found.append(wrong("file", f"{path} cannot be read: {error.strerror}", "mend it"))
    except (ValueError, RecursionError) as error:
        said = "is empty" if not data.strip() else f"is no JSON: {' '.join(str(error).split())}"
        found.append(wrong("file", f"{path} {said}", ANEW))
    return None


def read_object(path: Path, found: list[Finding]) -> dict[str, Any]:
    """The same of a file with an object in it; empty where it has none."""
    before = len(found)
    told = read_json(path, found)
    if not isinstance(told, dict) and len(found) == before:
        found.append(wrong("file", f"{path} holds no JSON object", ANEW))
    return told if isinstance(told, dict) else {}


def _architecture(path: Path, config: Mapping[str, Any]) -> Iterator[Finding]:
    """What config.json says that does not fit."""
    if "auto_map" in config:
        yield own_code(path)
    if not isinstance(config.get("model_type"), str):
        yield wrong("architecture", f"{path} has no model_type", SAVE)
    dense = "take a model without experts: LUNAR edits the one down_proj of a block"
    stated = {"": config, **{key: one for key, one in config.items() if isinstance(one, dict)}}
    for holder, section in stated.items():
        for key, value in section.items():
            several = isinstance(value, int) and not isinstance(value, bool) and value > 1
            if "expert" in key and "per_tok" not in key and "shared" not in key and several:
                place = f"{holder}.{key}".removeprefix(".")
                yield wrong("experts", f"{path} has {place}: {value}, a mixture of experts", dense)
                break
    for key in ("quantization_config", "compression_config"):
        if section := config.get(key) or (config.get("text_config") or {}).get(key):
            section = section if isinstance(section, dict) else {}
            bits = section.get("bits") or (4 if section.get("load_in_4bit") or section.get("_load_in_4bit") else None)
            kind = ", ".join(filter(None, (section.get("quant_method"), bits and f"{bits} bits"))) or "quantised"
            yield wrong("weights", f"{path} has {key} ({kind}): an edit cannot be added to quantised weights", FULL)
    wrapped = [key for key in ("vision_config", "audio_config", "text_config") if config.get(key)]
    names = [name for name in config.get("architectures") or [] if isinstance(name, str)]
    if wrapped or any(name.endswith("ForConditionalGeneration") for name in names):
        what = wrapped[0] if wrapped else f"architectures {', '.join(names)}"
        said = f"{path} has {what}: a wrapper around a language model, or an encoder and a decoder"
        yield wrong("architecture", said, "take the text model alone, such as one whose architecture is ...ForCausalLM")
    elif config.get("is_encoder_decoder"):
        yield wrong("architecture", f"{path} has is_encoder_decoder", "take a decoder alone (...ForCausalLM)")
    elif names and not any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in names):
        said = f"{path} has architectures {', '.join(names)}, no causal language model"
        yield wrong("architecture", said, "take a chat model whose architecture is ...ForCausalLM")
    sizes = ("hidden_size", "num_hidden_layers", "vocab_size")
    for key in sizes if not wrapped else ():
        if key in config and (type(config[key]) is not int or config[key] < 1):
            yield wrong("sizes", f"{path} has {key}: {shown(config[key])}, no size", ANEW)


def weights(folder: Path, found: list[Finding]) -> Tensors:
    """All tensors in a folder's safetensors by their headers; what is wrong with the files is added to ``found``."""
    whole, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if whole.is_file():
        return header(whole, found)
    if index.is_file():
        told = read_object(index, found).get("weight_map")
        if not isinstance(told, dict) or not told:
            if not any(str(index) in one.found for one in found):
                found.append(wrong("weights", f"{index} has no weight_map", ANEW))
            return {}
        shards = sorted({str(name) for name in told.values()})
        if below := [name for name in shards if Path(name).name != name]:
            said = f"{index} names files in other folders, such as {below[0]}"
            found.append(wrong("weights", said, SAVE))
            return {}
        if absent := [name for name in shards if not (folder / name).is_file()]:
            said = f"{len(absent)} of {len(shards)} files with weights are missing in {folder}, such as {absent[0]}"
            found.append(wrong("weights", said, "download them"))
            shards = [name for name in shards if name not in absent]
        tensors: Tensors = {}
        for name in shards:
            before, held = len(found), header(folder / name, found)
            lacking = [tensor for tensor, shard in told.items() if shard == name and tensor not in held]
            if lacking and len(found) == before:
                said = f"{folder / name} lacks {lacking[0]}, which {index.name} says it has"
                found.append(wrong("weights", said, "download both again"))
            tensors |= held
        return {} if absent else tensors
    others = sorted(path.name for path in folder.glob("*.safetensors"))
    if others:
        said = f"neither model.safetensors nor its index in {folder}, but {others[0]}"
        found.append(wrong("weights", said, "download model.safetensors or model.safetensors.index.json"))
    else:
        pickled = sorted(path.name for path in (*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")))
        said = f", but {pickled[0]}, and pickled weights are never loaded" if pickled else ""
        found.append(wrong("weights", f"no .safetensors in {folder}{said}", "save_pretrained writes safetensors"))
    return {}


def header(path: Path, found: list[Finding]) -> Tensors:
    """The tensors of a safetensors file by its header, whose offsets are set beside the file's size."""
    size = path.stat().st_size
    with path.open("rb") as file:
        first = file.read(len(POINTER))
        length = int.from_bytes(first[:8], "little")
        if first == POINTER:
            found.append(wrong("weights", f"{path} is a Git LFS pointer, not weights", "run `git lfs pull` there"))
            return {}
        if size < 8 or length > size - 8:
            said = "is empty" if size == 0 else f"is cut: {size} bytes are not even its header"
            found.append(wrong("weights", f"{path} {said}", ANEW))
            return {}
        file.seek(8)
        text = file.read(length)
    try:
        told = {name: one for name, one in json.loads(text).items() if name != "__metadata__"}
        tensors = {name: (str(one["dtype"]), [int(n) for n in one["shape"]]) for name, one in told.items()}
        end = max((int(one["data_offsets"][1]) for one in told.values()), default=0) + 8 + length
    except (ValueError, AttributeError, KeyError, TypeError, IndexError):
        found.append(wrong("weights", f"{path} is damaged: its header is no table of tensors", ANEW))
        return {}
    if end != size:
        said = f"is cut: {size} of {end} bytes are there" if size < end else f"is damaged: {size - end} bytes too many"
        found.append(wrong("weights", f"{path} {said}", ANEW))
    elif not tensors:
        found.append(wrong("weights", f"{path} holds no tensor", ANEW))
    return tensors


def _names(folder: Path, config: Mapping[str, Any], tensors: Tensors) -> Iterator[Finding]:
    """Names, types and shapes of the weights beside what config.json says."""
    config = config.get("text_config") or config
    if experts := [name for name in tensors if ".experts." in name]:
        said = f"{folder} has experts in {len({BLOCK.sub('', name) for name in experts})} weights, such as {experts[0]}"
        yield wrong("experts", said, "take a model without experts: LUNAR edits the one down_proj of a block")
        return
    packed = [name for name, (kind, _) in tensors.items() if name.endswith("weight") and kind not in FLOATS]
    packed += [name for name in tensors if name.endswith((".qweight", ".weight_packed", ".weight_scale_inv"))]
    if packed:
        said = f"{folder}: {packed[0]} is {tensors[packed[0]][0]}, so weights are quantised ({len(packed)} of them)"
        yield wrong("weights", said, FULL)
        return
    blocks = {int(match[1]) for name in tensors if (match := BLOCK.search(name))}
    stated = config.get("num_hidden_layers")
    edited = {int(match[1]) for name in tensors if name.endswith(DOWN) and (match := BLOCK.search(name))}
    if not blocks or not edited:
        said = f"{folder}: no weight is called layers.<block>.{DOWN}, which LUNAR edits, but {sorted(tensors)[0]}"
        yield wrong("names", said, "take a model of the kind of Llama, Mistral, Qwen or Gemma")
        return
    prefixes = sorted({match[1] for name in tensors if (match := PART.match(name))})
    # Beside layers without any there may be others of another name, such as a second head's.
    if prefixes and prefixes[0]:
        prefixed = [name for name in tensors if name.startswith(prefixes[0])]
        said = f"{folder}: names of {len(prefixed)} weights begin with {prefixes[0]!r}, such as "
        why = next((how for prefix, how in PREFIXES.items() if prefixes[0].startswith(prefix)), SAVE)
        yield wrong("names", said + ", ".join(prefixed[:3]), why)
    if isinstance(stated, int) and blocks != {*range(stated)}:
        off = min(blocks ^ {*range(stated)})
        has = f"{'' if off in blocks else 'no '}weights of block {off}"
        said = f"{folder}: {has}, but config.json has num_hidden_layers: {stated}"
        yield wrong("sizes", said, "download config.json and weights from the same place")
    elif lacking := sorted(blocks - edited):
        yield wrong("names", f"{folder}: block {lacking[0]} has no {DOWN}, which LUNAR edits", "take another model")
    wanted = {
        "embed_tokens.weight": ("vocab_size", "hidden_size"),
        DOWN: ("hidden_size", "intermediate_size"),
    }
    for end, keys in wanted.items():
        sizes = [config.get(key) for key in keys]
        for name, (_, shape) in tensors.items():
            # Sizes that differ from block to block are a list, which is left to the library.
            if name.endswith(end) and all(type(one) is int for one in sizes) and shape != sizes:
                said = f"{folder}: {name} is {shape}, but config.json has {keys[0]}: {sizes[0]}, {keys[1]}: {sizes[1]}"
                yield wrong("sizes", said, "download config.json and weights from the same place")
                return


def tokenizer_file(folder: Path, found: list[Finding]) -> dict[str, Any]:
    """What tokenizer.json holds; a finding where a fast tokenizer cannot be had."""
    fast = folder / "tokenizer.json"
    if fast.is_file():
        told = read_object(fast, found)
        if told and not isinstance(told.get("model"), dict):
            found.append(wrong("tokenizer", f"{fast} has no model", ANEW))
        return told
    slow = [
        name for name in ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model") if (folder / name).is_file()
    ]
    if slow:
        said = f"{slow[0]} alone in {folder}, a tokenizer without character offsets"
        how = "AutoTokenizer.from_pretrained(...).save_pretrained(...) writes tokenizer.json"
        found.append(wrong("tokenizer", said, how))
    elif not (folder / "vocab.json").is_file() and not (folder / "vocab.txt").is_file():
        found.append(wrong("tokenizer", f"no tokenizer in {folder}", "save the tokenizer into the same folder"))
    return {}


def _tokenizer(folder: Path, config: Mapping[str, Any], tensors: Tensors) -> list[Finding]:
    """What is wrong with the tokenizer, its chat template and its ids."""
    found: list[Finding] = []
    told, stated = tokenizer_file(folder, found), {}
    if (folder / "tokenizer_config.json").is_file():
        stated = read_object(folder / "tokenizer_config.json", found)
    if "auto_map" in stated:
        found.append(own_code(folder / "tokenizer_config.json"))
    found += _template(folder, stated, complete=not found)
    rows = next((shape[0] for name, (_, shape) in tensors.items() if name.endswith("embed_tokens.weight")), None)
    rows = rows or (config["vocab_size"] if type(config.get("vocab_size")) is int else None)
    if rows is None:
        return found
    added = {one.get("content"): one.get("id") for one in told.get("added_tokens") or [] if isinstance(one, dict)}
    ids: dict[str, int] = {}
    vocabulary = told["model"].get("vocab") if isinstance(told.get("model"), dict) else None
    if isinstance(vocabulary, dict):
        ids |= {repr(text): one for text, one in vocabulary.items() if isinstance(one, int) and text not in added}
    elif isinstance(vocabulary, list) and vocabulary:
        ids["the last token"] = len(vocabulary) - 1
    # Some models have no embedding for a token that they never see (Gemma 3 1B for images).
    jinja = folder / "chat_template.jinja"
    seen = jinja.read_text(encoding="utf-8", errors="replace") if jinja.is_file() else str(stated.get("chat_template"))
    seen += "".join(str(stated.get(f"{name}_token")) for name in ("bos", "eos", "pad"))
    ids |= {repr(text): one for text, one in added.items() if isinstance(one, int) and str(text) in seen}
    most = max(ids, key=lambda text: ids[text], default="")
    if most and ids[most] >= rows:
        said = f"{folder}: token {most} of tokenizer.json has id {ids[most]}, but the model has {rows} embeddings"
        found.append(wrong("ids", said, "resize_token_embeddings and save again, or take the model's own tokenizer"))
    generation: dict[str, Any] = {}
    if (folder / "generation_config.json").is_file():
        generation = read_object(folder / "generation_config.json", found)
    for name, section in (("config.json", config), ("generation_config.json", generation)):
        for key in ("pad_token_id", "bos_token_id", "eos_token_id"):
            value = section.get(key)
            beyond = [
                one for one in (value if isinstance(value, list) else [value]) if type(one) is int and one >= rows
            ]
            if beyond:
                said = f"{folder / name} has {key}: {beyond[0]}, but the model has {rows} embeddings"
                found.append(wrong("ids", said, "correct it, or resize_token_embeddings and save again"))
    return found


def _template(folder: Path, stated: Mapping[str, Any], complete: bool) -> Iterator[Finding]:
    """What is wrong with the chat template; ``complete``: tokenizer_config.json could be read."""
    found: list[Finding] = []
    path, single = folder / "tokenizer_config.json", folder / "chat_template.json"
    template: Any = stated.get("chat_template")
    if single.is_file():
        path, template = single, read_object(single, found).get("chat_template")
    yield from found
    if (folder / "chat_template.jinja").is_file():
        path = folder / "chat_template.jinja"
        try:
            template = path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            yield wrong("template", f"{path} cannot be read: {error}", ANEW)
            return
    if isinstance(template, list):
        named = {str(one.get("name")): one.get("template") for one in template if isinstance(one, dict)}
        if "default" not in named:
            said = f"{path} has chat templates {', '.join(named) or 'without names'}, and none is called 'default'"
            yield wrong("template", said, "call one of them 'default'")
            return
        template = named["default"]
    if template is None:
        if complete and not found:
            said = f"the tokenizer in {folder} has no chat template"
            how = "take the instruction-tuned model, or set the tokenizer's chat_template and save it again"
            yield wrong("template", said, how)
    elif not isinstance(template, str) or not template.strip():
        yield wrong(
            "template", f"{path} has chat_template {shown(template)}, no Jinja text", "set it and save it again"
        )
    elif said := _misspelt(template):
        yield wrong("template", f"{path}: the chat template is no Jinja: {said}", ANEW)


def _misspelt(template: str) -> str:
    """What Jinja says of a template that it cannot read; nothing where it can."""
    from jinja2 import TemplateSyntaxError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    try:
        ImmutableSandboxedEnvironment(extensions=["jinja2.ext.loopcontrols"]).parse(TAGS.sub("", template))
    except TemplateSyntaxError as error:
        return f"line {error.lineno}: {error.message}"
    return ""
