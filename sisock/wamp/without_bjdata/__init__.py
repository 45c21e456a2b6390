"""A directory for the module search path of Crossbar's processes: the `bjdata` in it cannot be imported."""
