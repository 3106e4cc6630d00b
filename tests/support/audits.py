"""An audit of one method, for tests of what reads it."""

from typing import Any

from lunar.pages.audit_schema import FORM


def made() -> dict[str, Any]:
    """An audit of one method, as its file has it."""
    number = {"value": 0.5, "low": 0.25, "high": 0.75, "n": 4}
    return {
        "schema": FORM,
        "experiment": "mine",
        "seed": 0,
        "settings": {"attacks": {"typos": {"rate": 0.2}}, "system_prompt": None},
        "provenance": {"code": "abc", "processor": "one", "python": "3.11", "packages": {"torch": "2"}},
        "data": {"forget": {"rows": 4, "sha256": "0" * 64}},
        "methods": {
            "lunar": {
                "made": {"recipe": "redirection"},
                "facts": {"layers": [1]},
                "files": {"model/config.json": "f" * 64},
                "metrics": {"forget": {"rouge1": number}, "overall": {"ds": {"reason": "no answers"}}},
                "attacks": {"none": {"forget": number, "retain": {"value": 1.0}}},
                "failed": {"invert": "no subject"},
                "removal": [{**number, "line": "a", "asked": "at most 1", "kept": True}],
                "verdict": "It hides. It leaves.",
            }
        },
    }
