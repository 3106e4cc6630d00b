"""Whether texts of a figure cover each other."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from matplotlib.text import Text

from lunar.pages.labels import shared


def overlaps(texts: Sequence[Text]) -> list[tuple[str, str]]:
    """Pairs of texts that cover each other on the page, as drawn."""
    texts = [text for text in texts if text.get_text().strip()]
    # Of an annotation without its arrow.
    boxes = np.array([Text.get_window_extent(text).extents for text in texts]).reshape(-1, 4)
    covered = shared(boxes, boxes) > 0.5
    return [(texts[i].get_text(), texts[j].get_text()) for i, j in combinations(range(len(texts)), 2) if covered[i, j]]
