//! Plans for tests.

use std::collections::BTreeMap;

use mixbench_crds::benchmark::OnInconclusive;
use mixbench_crds::metric::Metric;
use mixbench_crds::recipe::Recipe;
use mixbench_crds::run::{Backbone, Data, Method, Place, RUN_VERSION, Run, RunSpec, World};

use crate::plan::{Gate, PLAN_VERSION, Plan, PlannedCell, PlannedRun, Reference};

/// A plan of `cells` cells with `trials` trials each, two at once, on one CPU process.
pub(crate) fn plan(cells: usize, trials: u32) -> Plan {
    let cell = |index: usize| PlannedCell {
        backbone: "resnet20".into(),
        method: format!("method{index}"),
        label: format!("method{index}"),
        params: BTreeMap::new(),
        reference: Reference::None { why: "a test".into() },
    };
    let runs = (0..trials).flat_map(|trial| {
        (0..cells).map(move |index| PlannedRun { run: run(&format!("method{index}"), trial), cell: index })
    });
    Plan {
        version: PLAN_VERSION,
        name: "test".into(),
        recipe: "quickstart".into(),
        metric: Metric::Last,
        cells: (0..cells).map(cell).collect(),
        runs: runs.collect(),
        parallelism: 2,
        gate: Gate {
            tolerance: 0.3,
            confidence: Some(0.95),
            min_trials: 2,
            on_inconclusive: OnInconclusive::Inconclusive,
        },
        train_images: None,
        data_volume: None,
        reference_benchmark: None,
    }
}

fn run(method: &str, trial: u32) -> Run {
    let recipe = Recipe::find("quickstart").expect("it is compiled in");
    let spec = RunSpec {
        backbone: Backbone { name: "resnet20".into() },
        method: Method { name: method.to_owned(), params: BTreeMap::new() },
        data: Data { name: "d".into(), sha256: None, mean: [0.5; 3], std: [0.25; 3] },
        training: recipe.training.clone(),
        world: World { nodes: 1, gpus_per_node: 0, processes_per_node: 1, threads_per_process: 1 },
        seed: u64::from(trial),
        load_checkpoint: None,
    };
    Run {
        version: RUN_VERSION,
        id: spec.id(trial),
        trial,
        recipe: recipe.name.clone(),
        spec,
        attempt: 0,
        nonce: String::new(),
        place: Place { auto_resume: true, ..Place::default() },
    }
}
