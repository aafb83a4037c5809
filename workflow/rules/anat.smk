rule anat_preprocess:
    input:
        t1w=plan.t1w,
    output:
        t1w=plan.name("t1w"),
        mask=plan.name("t1w_mask"),
        dseg=plan.name("t1w_dseg"),
        gm=plan.name("gm"),
        wm=plan.name("wm"),
        csf=plan.name("csf"),
        to_template=plan.name("t1w_to_template"),
        from_template=plan.name("template_to_t1w"),
        in_template=plan.name("t1w_in_template"),
        mask_in_template=plan.name("t1w_mask_in_template"),
        dseg_in_template=plan.name("t1w_dseg_in_template"),
    log:
        plan.log("anat_preprocess", "{anat}"),
    threads: 1
    resources:
        mem_mb=plan.memory(base_mb=3000, per_input=100),
        runtime=plan.runtime(minutes=60),
    params:
        settings=plan.setting("anat"),
    shell:
        "bids-ai stage anat_preprocess --config {run_config:q} --threads {threads}"
        " --wildcards anat={wildcards.anat:q} >{log:q} 2>&1"
