rule structural_connectivity:
    input:
        streamlines=plan.tractogram,
        nodes=plan.name("atlas_table"),
    output:
        weight=plan.name("sc_weight"),
        streamline_count=plan.name("sc_count"),
        mean_length=plan.name("sc_length"),
        mean_fa=plan.name("sc_fa"),
        parcellation=plan.name("dwi_parcellation"),
    log:
        plan.log("structural_connectivity", "{dwi}_{atlas}"),
    resources:
        mem_mb=plan.memory(base_mb=2500, per_input=4),
        runtime=plan.runtime(minutes=30),
    params:
        settings=plan.setting("structural_connectivity", "parcellation"),
    shell:
        "bids-ai stage structural_connectivity --config {run_config:q}"
        " --wildcards dwi={wildcards.dwi:q} atlas={wildcards.atlas:q} >{log:q} 2>&1"


rule functional_connectivity:
    input:
        series=plan.series_file,
        nodes=plan.name("atlas_table"),
    output:
        pearson=plan.name("pearson"),
        partial=plan.name("partial"),
    log:
        plan.log("functional_connectivity", "{series}_{atlas}"),
    resources:
        mem_mb=plan.memory(base_mb=2000),
        runtime=plan.runtime(minutes=15),
    params:
        settings=plan.setting("functional_connectivity"),
    shell:
        "bids-ai stage functional_connectivity --config {run_config:q}"
        " --wildcards series={wildcards.series:q} atlas={wildcards.atlas:q} >{log:q} 2>&1"
