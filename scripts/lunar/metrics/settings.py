"""Settings that metrics share. Imports nothing heavy: planning reads them.

A metric's own settings stand in its file, as a class that builds on this one and is named in its decorator.
"""

from lunar.plan.declare import Section


class MetricSettings(Section):
    """What a metric is told; most are told nothing."""
