"""The reduction of a bucket: to one sample or several that are chosen, or to one value that all are aggregated to.

Start with ``reducers``, the table of reducers and the rule that all of them follow. ``selectors`` choose samples,
``aggregates`` are one value of all, ``combining`` has those of larger buckets from smaller ones, ``thinning`` keeps
samples a stride apart. ``pyramid`` and ``summaries`` hold what is known of blocks of 64 samples, and of 64 blocks, so
that a span is reduced without reading all of it; ``indexed_array`` is what they read samples from.
"""
