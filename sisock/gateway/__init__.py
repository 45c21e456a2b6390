"""What every consumer that draws needs: plan the questions, ask the nodes side by side, say what is missing."""

import sisock.wamp  # noqa: F401 - Autobahn must first be loaded by that package, which keeps it quiet
