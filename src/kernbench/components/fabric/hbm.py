"""An HBM channel controller: a queue in front of the memory model that ``hbm.model`` names."""

from __future__ import annotations

from kernbench.components.base import COMPONENTS, Site
from kernbench.components.memory_controller import MemoryController
from kernbench.components.memory_model import HBM_MODELS
from kernbench.config.machine import HbmSpec
from kernbench.kinds import Kind


@COMPONENTS.register("hbm_ctrl_v1")
class HbmController(MemoryController):
    """One channel of a stack, all its pseudo-channels together."""

    kind = Kind(
        "hbm_ctrl",
        HbmSpec,
        shared=("capacity", "channels", "pseudo_channels", "attach", "org", "map"),
        role="memory",
        place=(0.34, 0.28),
        size=(0.24, 0.1),
        title="HBM channel controller",
    ).declare()

    def __init__(self, site: Site) -> None:
        spec: HbmSpec = site.node.spec
        super().__init__(site, HBM_MODELS[spec.model](spec), spec.queue)
