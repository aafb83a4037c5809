rule functional_connectivity:
    input:
        series=plan.name("timeseries"),
        nodes=plan.name("atlas_table"),
    output:
        pearson=plan.name("pearson"),
        partial=plan.name("partial"),
    log:
        plan.log("functional_connectivity", "{series}_{atlas}"),
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        settings=plan.setting("functional_connectivity"),
    shell:
        "bids-ai stage functional_connectivity --config {run_config:q}"
        " --wildcards series={wildcards.series} atlas={wildcards.atlas} >{log:q} 2>&1"
