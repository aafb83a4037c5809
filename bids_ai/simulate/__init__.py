"""Generated BIDS datasets with known truth.

`bids_ai.simulate.cohort.write_cohort` makes subjects with every modality; `bids_ai.simulate.empty.write_empty_dataset`
makes datasets of header-only files, as large as a test of the workflow wants them.
"""
