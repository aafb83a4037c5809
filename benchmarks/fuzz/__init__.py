"""Readers of every format against files that are broken on purpose.

    python -m benchmarks.fuzz [--cases N] [--seed S] [--reader NAME ...] [--seconds S]

| module | what |
|---|---|
| mutations | ways to break bytes, tables, JSON, headers; seeded |
| files | the valid files that are broken, made by the code itself |
| readers | which files each reader is given, and how it is called |
| watch | what a case may not do: write, start a program, load a pickle, last |
| work | cases one after the other in a process of its own, with a limit of memory |

A case ends in a value or in an error of `bids_ai.errors`; any other end is a crash.
"""
