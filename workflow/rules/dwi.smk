rule dwi_preprocess:
    input:
        dwi=plan.dwi,
        anat=plan.anat_of_dwi,
    output:
        dwi=plan.name("dwi"),
        bval=plan.name("dwi_bval"),
        bvec=plan.name("dwi_bvec"),
        mask=plan.name("dwi_mask"),
        reference=plan.name("dwi_ref"),
        gm=plan.name("dwi_gm"),
        wm=plan.name("dwi_wm"),
        csf=plan.name("dwi_csf"),
        fa=plan.name("fa"),
        md=plan.name("md"),
        ad=plan.name("ad"),
        rd=plan.name("rd"),
    log:
        plan.log("dwi_preprocess", "{dwi}"),
    threads: 2
    resources:
        mem_mb=plan.memory(base_mb=3000, per_input=40),
        runtime=plan.runtime(minutes=240),
    params:
        settings=plan.setting("dwi"),
    shell:
        "bids-ai stage dwi_preprocess --config {run_config:q} --threads {threads}"
        " --wildcards dwi={wildcards.dwi:q} >{log:q} 2>&1"


rule tractography:
    input:
        dwi=plan.preprocessed_dwi,
    output:
        streamlines=plan.tractogram,
    log:
        plan.log("tractography", "{dwi}"),
    threads: 2
    resources:
        mem_mb=plan.memory(base_mb=3000, per_input=40),
        runtime=plan.runtime(minutes=240),
    params:
        settings=plan.setting("structural_connectivity"),
    shell:
        "bids-ai stage tractography --config {run_config:q} --threads {threads}"
        " --wildcards dwi={wildcards.dwi:q} >{log:q} 2>&1"
