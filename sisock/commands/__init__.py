"""Everything behind the command line.

``cli`` has the commands. ``serve`` runs one hub or one data node; ``programs`` and ``guests`` are what it takes to run
other people's files. ``site``, ``supervisor`` and ``startup`` run many programs; ``scan`` and ``printing`` are the
commands that work and print.
"""
