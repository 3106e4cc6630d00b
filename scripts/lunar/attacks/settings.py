"""Settings that attacks share. Imports no torch: planning reads them.

An attack's own settings stand in its file, as a class ``Settings`` within its class that builds on this one.
"""

from lunar.plan.declare import Section


class AttackSettings(Section):
    """What an attack is told; the key ``attack`` of its entry, the name of its class, is not among these."""
