"""Every method of effective connectivity on every system with known connectivity.

    OMP_NUM_THREADS=1 python -m benchmarks.ec OUT [--page docs/benchmark_ec.md]

| module | what |
|---|---|
| settings | which systems, lengths, observation noise, couplings and seeds |
| cases | series, truth and structural connectivity of one setting and seed |
| methods | surrogate families and baselines, as their registries list them |
| readout | effective connectivity of a fit, on the horizon of the truth |
| scores | agreement with the truth |
| compare, calibration, timing | the parts of the benchmark, one result per file |
| results | the files of results, by which an interrupted run goes on |
| statistics, tables, figures, page | what is written from them |
"""
