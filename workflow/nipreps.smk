"""Preprocessing by the official images of fMRIPrep and QSIPrep; bids_ai then goes on from what they made.

Called by `bids-ai run ... --nipreps NAME=IMAGE`, which hands over everything here in one configuration file.
"""


rule all:
    default_target: True
    input:
        [
            f"{config['output'][tool]}/sub-{label}.html"
            for tool, labels in config["subjects"].items()
            for label in labels
        ],


rule fmriprep:
    output:
        page=config["output"].get("fmriprep", "fmriprep") + "/sub-{label}.html",
    log:
        config["logs"] + "/fmriprep/sub-{label}.log",
    container:
        config["images"].get("fmriprep")
    threads: config["threads"]
    resources:
        mem_mb=lambda wildcards, attempt: 16000 * attempt,
        runtime=24 * 60,
    params:
        out=config["output"].get("fmriprep", ""),
        work=config["work"] + "/fmriprep",
        options=config["options"].get("fmriprep", ""),
    shell:
        # The home of the image, where its templates are, is not the home within Apptainer.
        "export TEMPLATEFLOW_HOME=/home/fmriprep/.cache/templateflow;"
        " fmriprep {config[data]:q} {params.out:q} participant --participant-label {wildcards.label}"
        " --work-dir {params.work:q} --fs-license-file {config[fs_license]:q} --nthreads {threads}"
        " --omp-nthreads {threads} --mem-mb {resources.mem_mb} --notrack --skip-bids-validation"
        " --bids-filter-file {config[filters]:q} {params.options}"
        " >{log:q} 2>&1"


rule qsiprep:
    output:
        page=config["output"].get("qsiprep", "qsiprep") + "/sub-{label}.html",
    log:
        config["logs"] + "/qsiprep/sub-{label}.log",
    container:
        config["images"].get("qsiprep")
    threads: config["threads"]
    resources:
        mem_mb=lambda wildcards, attempt: 16000 * attempt,
        runtime=24 * 60,
    params:
        out=config["output"].get("qsiprep", ""),
        work=config["work"] + "/qsiprep",
        options=config["options"].get("qsiprep", ""),
    shell:
        "export TEMPLATEFLOW_HOME=/home/qsiprep/.cache/templateflow;"
        " qsiprep {config[data]:q} {params.out:q} participant --participant-label {wildcards.label}"
        " --work-dir {params.work:q} --fs-license-file {config[fs_license]:q} --nthreads {threads}"
        " --omp-nthreads {threads} --mem-mb {resources.mem_mb} --notrack --skip-bids-validation"
        " --bids-filter-file {config[filters]:q} {params.options}"
        " >{log:q} 2>&1"
