rule bold_preprocess:
    input:
        bold=plan.bold,
        anat=plan.anat_of_bold,
    output:
        bold=plan.name("bold"),
        mask=plan.name("bold_mask"),
        dseg=plan.name("bold_dseg"),
        reference=plan.name("boldref"),
        reference_mask=plan.name("boldref_mask"),
        reference_in_t1w=plan.name("boldref_in_t1w"),
        reference_in_template=plan.name("boldref_in_template"),
        to_t1w=plan.name("bold_to_t1w"),
        confounds=plan.name("confounds"),
    log:
        plan.log("bold_preprocess", "{bold}"),
    threads: 1
    resources:
        mem_mb=plan.memory(base_mb=2000, per_input=30),
        runtime=plan.runtime(minutes=120),
    params:
        settings=plan.setting("func"),
    shell:
        "bids-ai stage bold_preprocess --config {run_config:q} --threads {threads}"
        " --wildcards bold={wildcards.bold:q} >{log:q} 2>&1"
