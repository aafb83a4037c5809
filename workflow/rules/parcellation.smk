rule atlas:
    output:
        table=plan.name("atlas_table"),
    log:
        plan.log("atlas", "{atlas}"),
    resources:
        mem_mb=plan.memory(base_mb=2000),
        runtime=plan.runtime(minutes=20),
    params:
        settings=plan.setting("parcellation"),
    shell:
        "bids-ai stage atlas --config {run_config:q} --wildcards atlas={wildcards.atlas:q} >{log:q} 2>&1"


rule region_timeseries:
    input:
        bold=plan.bold_of_series,
        nodes=plan.name("atlas_table"),
    output:
        series=plan.name("timeseries"),
        coverage=plan.name("coverage"),
    log:
        plan.log("region_timeseries", "{series}_{atlas}"),
    resources:
        mem_mb=plan.memory(base_mb=1500, per_input=10),
        runtime=plan.runtime(minutes=30),
    params:
        settings=plan.setting("func", "parcellation"),
    shell:
        "bids-ai stage region_timeseries --config {run_config:q}"
        " --wildcards series={wildcards.series:q} atlas={wildcards.atlas:q} >{log:q} 2>&1"
