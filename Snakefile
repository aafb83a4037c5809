"""bids_ai: from a BIDS dataset to connectomes, surrogate brains and effective connectivity.

Made ready by ``bids-ai run``, or by hand:

    bids-ai index BIDS_DIR OUTPUT_DIR
    snakemake --configfile WORK_DIR/runs/.../config.yaml --cores 4
"""

from pathlib import Path

from snakemake.utils import min_version, validate

from bids_ai.stages.plan import Plan

min_version("9.3")


configfile: Path(workflow.basedir) / "config" / "config.yaml"


validate(config, Path(workflow.basedir) / "workflow" / "schemas" / "config.schema.json")
plan = Plan(config)
run_config = plan.config_file


# With --sdm apptainer every rule runs in this image; without it, where Snakemake does (docs/containers.md).
if config.get("container"):

    container: config["container"]


wildcard_constraints:
    **plan.wildcards,


rule all:
    default_target: True
    input:
        plan.targets(config.get("stages", "")),


include: "workflow/rules/anat.smk"
include: "workflow/rules/func.smk"
include: "workflow/rules/dwi.smk"
include: "workflow/rules/electrophysiology.smk"
include: "workflow/rules/parcellation.smk"
include: "workflow/rules/connectome.smk"
include: "workflow/rules/surrogate.smk"


onsuccess:
    shell(plan.report_command)


onerror:
    shell(plan.report_command)
