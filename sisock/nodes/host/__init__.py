"""The machine that the node runs on: ``node`` keeps a day of what ``readings`` asks the operating system."""
