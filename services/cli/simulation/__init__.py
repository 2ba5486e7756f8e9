"""A company that never was: its events, in the order in which they would arrive, and the true figures of what it did.

Pure generation: options in, lines and figures out. `chance` draws, `days` counts, `company` is the cast, `opening`, `selling`,
`keeping` tell the life of a lead, `family` who brings whom, `telling` how it is reported (late, twice, wrongly), `arrival` puts
it in order, `truth` adds up what was planned. The plan is made first and told afterwards, so the figures need no event.
"""

from services.cli.simulation.arrival import in_order
from services.cli.simulation.family import Simulation
from services.cli.simulation.options import Options

__all__ = ["Options", "Simulation", "in_order"]
