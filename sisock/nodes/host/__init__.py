"""The machine that the node runs on: ``node`` keeps a day of the ``readings`` that the operating system gives."""
