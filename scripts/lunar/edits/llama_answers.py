"""Greedy answers of GGUF files by llama.cpp. Run as a program, by a Python that has llama-cpp-python.

Reads a task as JSON from standard input:

- ``base``: path of the base model's GGUF; ``quantise``: a type such as ``Q4_K_M`` to have it in, or null;
- ``prompts``: lists of token ids; ``texts``: texts to cut into tokens; ``ends``: token ids that end an answer;
- ``max_new_tokens``, ``threads``;
- ``runs``: a list for each time that the prompts are answered, of pairs: path of an adapter's GGUF, and its scale.

Writes JSON to standard output: ``runs``, with ``ids`` (token ids of the answers) and ``logits`` (those of each answer's
first token) for each run; ``tokens``, the token ids of the texts; ``size``, bytes of the base as it was loaded. Imports
nothing of this library.
"""

import ctypes
import json
import os
import sys
import tempfile
from typing import Any


def quantised(base: str, kind: str, folder: str, threads: int) -> str:
    """A base's GGUF in another type, written into a folder."""
    import llama_cpp

    path = os.path.join(folder, f"{kind}.gguf")
    how = llama_cpp.llama_model_quantize_default_params()
    how.ftype, how.nthread = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{kind}"), threads
    if llama_cpp.llama_model_quantize(base.encode(), path.encode(), ctypes.byref(how)):
        raise SystemExit(f"llama.cpp cannot write {base} as {kind}")
    return path


def set_adapters(model: Any, loaded: dict[str, Any], adapters: list[list[Any]]) -> None:
    """Have these adapters and no other, each at its scale; files are read once."""
    import llama_cpp

    for path, _ in adapters:
        if path not in loaded:
            loaded[path] = llama_cpp.llama_adapter_lora_init(model.model, path.encode())
            if not loaded[path]:
                raise SystemExit(f"llama.cpp cannot load the adapter {path} on this base")
    pointers = (llama_cpp.llama_adapter_lora_p_ctypes * len(adapters))(*(loaded[path] for path, _ in adapters))
    scales = (ctypes.c_float * len(adapters))(*(scale for _, scale in adapters))
    if llama_cpp.llama_set_adapters_lora(model.ctx, pointers, len(adapters), scales):
        raise SystemExit("llama.cpp cannot set these adapters")


def answer(model: Any, prompt: list[int], ends: set[int], max_new_tokens: int) -> tuple[list[int], list[float]]:
    """The greedy answer to a prompt, with its end, and the logits of its first token."""
    model.reset()
    model.eval(prompt)
    first, ids = model.scores[model.n_tokens - 1].tolist(), []
    while len(ids) < max_new_tokens:
        ids.append(int(model.scores[model.n_tokens - 1].argmax()))
        if ids[-1] in ends:
            break
        model.eval(ids[-1:])
    return ids, first


def main() -> None:
    """The program."""
    from llama_cpp import GGML_TYPE_F32, Llama

    task = json.load(sys.stdin)
    length = max(map(len, task["prompts"])) + task["max_new_tokens"] + 1
    with tempfile.TemporaryDirectory() as folder:
        path = task["base"]
        if task["quantise"]:
            path = quantised(path, task["quantise"], folder, task["threads"])
        threads = {"n_threads": task["threads"], "n_threads_batch": task["threads"]}
        # Keys and values are kept in float32; llama.cpp's own choice is float16.
        kept = {"type_k": GGML_TYPE_F32, "type_v": GGML_TYPE_F32}
        # Logits of every token are kept: those of the last one alone cannot be read through this class.
        model = Llama(path, n_ctx=length, n_batch=length, logits_all=True, verbose=False, **threads, **kept)
        loaded: dict[str, Any] = {}
        runs = []
        for adapters in task["runs"]:
            set_adapters(model, loaded, adapters)
            answers = [answer(model, one, set(task["ends"]), task["max_new_tokens"]) for one in task["prompts"]]
            runs.append({"ids": [ids for ids, _ in answers], "logits": [logits for _, logits in answers]})
        tokens = [model.tokenize(text.encode(), add_bos=False, special=True) for text in task["texts"]]
        size = os.path.getsize(path)
    json.dump({"runs": runs, "tokens": tokens, "size": size}, sys.stdout)


if __name__ == "__main__":
    main()
