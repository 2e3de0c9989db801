//! What a checkpoint says of itself, and whether it belongs to a run.

use mixbench_crds::event::{Epoch, Position};
use mixbench_crds::metric::Score;
use mixbench_crds::run::RunSpec;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Version of the format that this build writes and reads.
pub const CHECKPOINT_VERSION: u32 = 1;

/// The JSON header of a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    /// [`CHECKPOINT_VERSION`].
    pub version: u32,
    /// Id of the run that wrote it.
    pub run: String,
    /// [`RunSpec::hash`] of its spec.
    pub spec_hash: String,
    /// Its whole spec, so that a checkpoint can be evaluated and compared without any other file.
    pub spec: RunSpec,
    /// URI that its data were read from.
    pub data_uri: String,
    /// Fingerprint of those data.
    pub data_fingerprint: String,
    /// Classes of the network.
    pub classes: i64,
    /// Where training stands.
    pub position: Position,
    /// Processes that trained it.
    pub world_size: u32,
    /// Arithmetic threads of each of them.
    pub threads: u32,
    /// Validations of all finished epochs, in their order.
    pub scores: Vec<Score>,
    /// What was told of the last finished epoch: it is told again, for the word may have died with `launch`.
    #[serde(default)]
    pub last_epoch: Option<Epoch>,
    /// Validation images.
    pub n: u64,
    /// Training images seen, padding included.
    pub images: u64,
    /// Seconds spent in the training steps that led here, over all attempts.
    pub train_seconds: f64,
    /// Sum of the losses of the steps of the running epoch.
    pub loss_sum: f64,
    /// Seconds spent in the training steps of the running epoch.
    pub epoch_seconds: f64,
    /// Steps that the optimizer has taken.
    pub optimizer_steps: u64,
    /// sha256 over `model/` and `buffer/` tensors sorted by name: two runs with equal weights have equal ones.
    pub weights_sha256: String,
    /// Version of libtorch that wrote it.
    pub libtorch: String,
}

impl Header {
    /// The header without what a clock says: equal for runs that are equal to the bit.
    #[must_use]
    pub fn timeless(mut self) -> Self {
        (self.train_seconds, self.epoch_seconds) = (0.0, 0.0);
        if let Some(told) = &mut self.last_epoch {
            (told.train_seconds, told.eval_seconds) = (0.0, 0.0);
        }
        self
    }

    /// What in `spec` differs from the spec of this checkpoint, as `path: theirs, here ours`; the processes are left out, for they may change
    /// at the end of an epoch, and so is `loadCheckpoint`, which has done its work.
    pub fn differs(&self, spec: &RunSpec) -> Option<String> {
        let plain = |spec: &RunSpec| {
            let mut value = serde_json::to_value(spec).expect("a spec has string keys and finite numbers");
            if let Value::Object(map) = &mut value {
                map.remove("world");
                map.remove("loadCheckpoint");
            }
            value
        };
        let mut found = Vec::new();
        compare("", &plain(&self.spec), &plain(spec), &mut found);
        if found.is_empty() { None } else { Some(found.join("; ")) }
    }
}

/// Collects `path: a, here b` for every leaf that differs.
fn compare(path: &str, theirs: &Value, ours: &Value, found: &mut Vec<String>) {
    match (theirs, ours) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let value = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or_default();
                compare(&path, &value(a), &value(b), found);
            }
        }
        (a, b) if a == b => {}
        (Value::Null, b) => found.push(format!("{path} is not there and {b} here")),
        (a, Value::Null) => found.push(format!("{path} is {a} there and not here")),
        (a, b) => found.push(format!("{path} is {a} there and {b} here")),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use mixbench_crds::metric::Metric;
    use mixbench_crds::run::{Backbone, Data, Method, World};
    use mixbench_crds::training::*;

    pub(crate) fn spec() -> RunSpec {
        RunSpec {
            backbone: Backbone { name: "resnet20".into() },
            method: Method { name: "vanilla".into(), params: std::collections::BTreeMap::new() },
            data: Data { name: "tiny".into(), sha256: None, mean: [0.5; 3], std: [0.25; 3] },
            training: Training {
                epochs: 2,
                global_batch: 8,
                micro_batch: 4,
                eval_batch: 4,
                optimizer: Optimizer::Sgd {
                    momentum: 0.9,
                    nesterov: false,
                    weight_decay: 1e-4,
                    decay_norm_and_bias: true,
                },
                schedule: Schedule { lr: 0.1, min_lr: 0.0, per: Per::Epoch, warmup_epochs: 0, warmup_start: 0.0 },
                loss: Loss::CrossEntropy { label_smoothing: 0.0 },
                init: Init::TorchDefault,
                stem: Stem::Small,
                train: TrainTransform { crop: TrainCrop::RandomPad { size: 8, padding: 1 }, flip: 0.5 },
                eval: EvalTransform { resize: None, crop: 8, interpolation: Interpolation::Bicubic },
                precision: Precision::F32,
                channels_last: false,
                clip_grad_norm: None,
                metric: Metric::Last,
            },
            world: World { nodes: 1, gpus_per_node: 0, processes_per_node: 2, threads_per_process: 1 },
            seed: 1,
            load_checkpoint: None,
        }
    }

    pub(in crate::checkpoint) fn header(epoch: u32, step: u64) -> Header {
        let spec = spec();
        Header {
            version: CHECKPOINT_VERSION,
            run: spec.id(0),
            spec_hash: spec.hash(),
            spec,
            data_uri: "builtin:tiny".into(),
            data_fingerprint: "f".into(),
            classes: 10,
            position: Position { epoch, step },
            world_size: 2,
            threads: 1,
            scores: Vec::new(),
            n: 0,
            images: 0,
            train_seconds: 0.1,
            loss_sum: 0.3,
            epoch_seconds: 0.1,
            last_epoch: None,
            optimizer_steps: 0,
            weights_sha256: String::new(),
            libtorch: "2".into(),
        }
    }

    #[test]
    fn another_world_is_the_same_run_and_another_seed_is_not() {
        let header = header(1, 0);
        let mut other = spec();
        other.world.processes_per_node = 4;
        assert_eq!(header.differs(&other), None);
        other.seed = 2;
        other.backbone.name = "resnet18".into();
        other.method.params.insert("alpha".into(), mixbench_crds::run::Param::Number(0.5));
        assert_eq!(
            header.differs(&other).as_deref(),
            Some(
                r#"backbone.name is "resnet20" there and "resnet18" here; method.params.alpha is not there and 0.5 here; seed is 1 there and 2 here"#
            )
        );
    }
}
