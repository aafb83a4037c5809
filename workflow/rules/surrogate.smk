# One job fits many recordings at once, since one small model leaves a device idle; each is then published by itself.
rule surrogate_fit:
    input:
        series=plan.series_of_batch,
        structural=plan.structural_of_batch,
    output:
        fits=directory(plan.batch_folder("{atlas}", "{model}", "{batch}")),
    log:
        plan.log("surrogate_fit", "{atlas}_model-{model}_batch-{batch}"),
    threads: 2
    resources:
        mem_mb=plan.memory(base_mb=4000, per_input=200),
        runtime=plan.runtime(minutes=120),
        gpu=plan.gpus,
    params:
        settings=plan.setting("surrogate"),
    shell:
        "bids-ai stage surrogate_fit --config {run_config:q} --threads {threads}"
        " --wildcards atlas={wildcards.atlas:q} model={wildcards.model:q} batch={wildcards.batch:q} >{log:q} 2>&1"


rule surrogate:
    input:
        fits=plan.batch_of_fit,
        nodes=plan.name("atlas_table"),
    output:
        weights=plan.name("weights"),
        description=plan.name("surrogate"),
    log:
        plan.log("surrogate", "{series}_{atlas}_model-{model}{pool}"),
    resources:
        mem_mb=plan.memory(base_mb=2000),
        runtime=plan.runtime(minutes=15),
    shell:
        "bids-ai stage surrogate --config {run_config:q} --wildcards series={wildcards.series:q}"
        " atlas={wildcards.atlas:q} model={wildcards.model:q} pool={wildcards.pool:q} >{log:q} 2>&1"


rule effective_connectivity:
    input:
        series=plan.series_of_fit,
        weights=plan.name("weights"),
        description=plan.name("surrogate"),
        nodes=plan.name("atlas_table"),
    output:
        push=plan.name("ec"),
        jacobian=plan.name("jacobian"),
    log:
        plan.log("effective_connectivity", "{series}_{atlas}_model-{model}{pool}"),
    threads: 2
    resources:
        mem_mb=plan.memory(base_mb=4000),
        runtime=plan.runtime(minutes=60),
    params:
        settings=plan.setting("effective_connectivity"),
    shell:
        "bids-ai stage effective_connectivity --config {run_config:q} --threads {threads}"
        " --wildcards series={wildcards.series:q} atlas={wildcards.atlas:q} model={wildcards.model:q} pool={wildcards.pool:q}"
        " >{log:q} 2>&1"
