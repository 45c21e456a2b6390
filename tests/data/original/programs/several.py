"""Several servers in one file, made and run by a module beside it."""

from beside import Parent, make_class, start


class Roof(Parent):
    """Has a name."""

    name = "old_roof"
    value = 1.0


class Cellar(Parent):
    """Is told its name."""

    value = 2.0

    def __init__(self, config, name="old_cellar", depth=0.0):
        Parent.__init__(self, config)
        self.name = name
        self.value -= depth


Garden = make_class("old_garden", 3.0)


def make_attic(config):
    attic = Roof(config)
    attic.name = "old_attic"
    return attic


if __name__ == "__main__":
    start(Roof, Cellar, Garden)
