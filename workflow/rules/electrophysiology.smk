rule eeg_preprocess:
    input:
        signal=plan.signal,
    output:
        eeg=plan.name("eeg"),
        channels=plan.name("eeg_channels"),
        segments=plan.name("eeg_segments"),
        components=plan.name("eeg_components"),
    log:
        plan.log("eeg_preprocess", "{eeg}"),
    threads: 2
    resources:
        mem_mb=plan.memory(base_mb=3000, per_input=20),
        runtime=plan.runtime(minutes=60),
    params:
        settings=plan.setting("eeg"),
    shell:
        "bids-ai stage eeg_preprocess --config {run_config:q} --threads {threads}"
        " --wildcards eeg={wildcards.eeg:q} >{log:q} 2>&1"


rule ieeg_preprocess:
    input:
        signal=plan.signal,
    output:
        ieeg=plan.name("ieeg"),
        channels=plan.name("ieeg_channels"),
    log:
        plan.log("ieeg_preprocess", "{ieeg}"),
    resources:
        mem_mb=plan.memory(base_mb=4000),
        runtime=plan.runtime(minutes=120),
    params:
        settings=plan.setting("ieeg"),
    shell:
        "bids-ai stage ieeg_preprocess --config {run_config:q} --wildcards ieeg={wildcards.ieeg:q} >{log:q} 2>&1"


rule ephys_timeseries:
    input:
        signal=plan.signal_of_series,
        nodes=plan.name("atlas_table"),
    output:
        series=plan.name("ephys_timeseries"),
        coverage=plan.name("coverage"),
    log:
        plan.log("ephys_timeseries", "{series}_{atlas}"),
    resources:
        mem_mb=plan.memory(base_mb=3000, per_input=20),
        runtime=plan.runtime(minutes=60),
    params:
        settings=plan.setting("eeg", "ieeg", "parcellation"),
    shell:
        "bids-ai stage ephys_timeseries --config {run_config:q}"
        " --wildcards series={wildcards.series:q} atlas={wildcards.atlas:q} >{log:q} 2>&1"


rule spectral_connectivity:
    input:
        series=plan.name("ephys_timeseries"),
        nodes=plan.name("atlas_table"),
    output:
        plan.of_bands("envelope", "imcoh"),
    log:
        plan.log("spectral_connectivity", "{series}_{atlas}"),
    resources:
        mem_mb=plan.memory(base_mb=3000, per_input=40),
        runtime=plan.runtime(minutes=60),
    shell:
        "bids-ai stage spectral_connectivity --config {run_config:q}"
        " --wildcards series={wildcards.series:q} atlas={wildcards.atlas:q} >{log:q} 2>&1"


rule ccep_features:
    input:
        ieeg=plan.name("ieeg"),
        signal=plan.signal,
        anat=plan.anat_of_ieeg,
    output:
        sites=plan.name("ccep_sites"),
        features=plan.name("ccep_features"),
        average=plan.name("ccep_average"),
        halves=plan.name("ccep_halves"),
    log:
        plan.log("ccep_features", "{ieeg}"),
    resources:
        mem_mb=plan.memory(base_mb=4000),
        runtime=plan.runtime(minutes=120),
    params:
        settings=plan.setting("ieeg", "ccep"),
    shell:
        "bids-ai stage ccep_features --config {run_config:q} --wildcards ieeg={wildcards.ieeg:q} >{log:q} 2>&1"


rule ccep_regions:
    input:
        features=plan.name("ccep_features"),
        anat=plan.anat_of_ieeg,
        nodes=plan.name("atlas_table"),
    output:
        probability=plan.name("ccep_probability"),
        number=plan.name("ccep_count"),
        interval=plan.name("ccep_interval"),
        amplitude=plan.name("ccep_amplitude"),
        latency=plan.name("ccep_latency"),
    log:
        plan.log("ccep_regions", "{ieeg}_{atlas}"),
    resources:
        mem_mb=plan.memory(base_mb=2000),
        runtime=plan.runtime(minutes=30),
    params:
        settings=plan.setting("ieeg", "ccep", "parcellation"),
    shell:
        "bids-ai stage ccep_regions --config {run_config:q}"
        " --wildcards ieeg={wildcards.ieeg:q} atlas={wildcards.atlas:q} >{log:q} 2>&1"


rule contact_model:
    input:
        features=plan.name("ccep_features"),
        signals=plan.ieeg_at_rest,
    output:
        effective=plan.name("contact_ec"),
        impulses=plan.impulses,
    log:
        plan.log("contact_model", "{ieeg}"),
    resources:
        mem_mb=plan.memory(base_mb=4000, per_input=20),
        runtime=plan.runtime(minutes=60),
        gpu=plan.gpus,
    shell:
        "bids-ai stage contact_model --config {run_config:q} --wildcards ieeg={wildcards.ieeg:q} >{log:q} 2>&1"


rule ccep_predict:
    input:
        features=plan.name("ccep_features"),
        averages=[plan.name("ccep_average"), plan.name("ccep_halves")],
        effective=plan.name("contact_ec"),
        impulses=plan.impulses,
        connectivity=plan.connectivity_of_prediction,
        anat=plan.anat_of_ieeg,
        nodes=plan.name("atlas_table"),
    output:
        scores=plan.name("ccep_scores"),
        comparison=plan.name("ccep_comparison"),
    log:
        plan.log("ccep_predict", "{ieeg}_{atlas}"),
    resources:
        mem_mb=plan.memory(base_mb=3000, per_input=50),
        runtime=plan.runtime(minutes=120),
    params:
        settings=plan.setting("ieeg", "ccep", "prediction", "parcellation"),
    shell:
        "bids-ai stage ccep_predict --config {run_config:q}"
        " --wildcards ieeg={wildcards.ieeg:q} atlas={wildcards.atlas:q} >{log:q} 2>&1"
