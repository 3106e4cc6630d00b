"""Files of the configuration, read so that every mistake in one is a line that names it."""

from pathlib import Path
from typing import Any

import yaml

from lunar.errors import LunarError


class _Loader(yaml.SafeLoader):
    """YAML's safe types, without a key that is given twice: the second would silently win."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        # Here and not where values are made: a merge (`<<`) adds keys that the mapping may state again.
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if (key.tag, str(key.value)) in seen:
                problem = f"key {key.value!r} is given twice; leave one of them"
                raise yaml.composer.ComposerError(None, None, problem, key.start_mark)
            seen.add((key.tag, str(key.value)))
        return node


def mapping(path: Path) -> dict[Any, Any]:
    """What a YAML file holds.

    Raises:
        LunarError: it cannot be read, is no YAML or no mapping, or gives a key twice; one line with file and line.
    """
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise LunarError(f"{path}:{line}: no YAML: {error.problem}") from None
    except OSError as error:
        raise LunarError(f"{path}: cannot be read: {error.strerror}; mend it or take it away") from None
    except (yaml.YAMLError, ValueError) as error:  # such as a control character, no UTF-8, a date that there is not
        said = " ".join(str(error).split())
        raise LunarError(f"{path}: no YAML: {said}") from None
    if not isinstance(found, dict):
        raise LunarError(f"{path}: expected keys with values, such as `experiments:`")
    return found
