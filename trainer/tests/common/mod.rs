//! A run so small that a test can train it: made-up images in MNIST's format and a ResNet-20.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // each test binary uses a part; a test may fail by a panic

use std::fs;
use std::path::Path;

use mixbench_crds::metric::Metric;
use mixbench_crds::run::{Backbone, Data, Method, Param, Place, RUN_VERSION, Run, RunSpec, World};
use mixbench_crds::training::{
    EvalTransform, Init, Interpolation, Loss, Optimizer, Per, Precision, Schedule, Stem, TrainCrop, TrainTransform,
    Training,
};

/// Side of the images in pixels.
const SIDE: usize = 10;
/// Classes of the images.
const CLASSES: usize = 6;

/// Writes `train` and `val` images to `folder`, which is made. Each class has a stripe of its own under noise that `seed` draws.
pub fn images(folder: &Path, train: usize, val: usize, seed: u64) {
    fs::create_dir_all(folder).unwrap();
    let mut state = seed;
    let mut noise = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 57) as u8
    };
    for (name, n) in [("train", train), ("t10k", val)] {
        let head = |magic: u32, sizes: &[usize]| -> Vec<u8> {
            let sizes = sizes.iter().map(|&n| u32::try_from(n).unwrap());
            std::iter::once(magic).chain(sizes).flat_map(u32::to_be_bytes).collect()
        };
        let mut pixels = head(0x0803, &[n, SIDE, SIDE]);
        let mut labels = head(0x0801, &[n]);
        for image in 0..n {
            let class = image % CLASSES;
            labels.push(class as u8);
            let bright = |i: usize| if i / SIDE == class + 2 { 120 } else { 0 };
            pixels.extend((0..SIDE * SIDE).map(|i| noise() + bright(i)));
        }
        fs::write(folder.join(format!("{name}-images-idx3-ubyte")), pixels).unwrap();
        fs::write(folder.join(format!("{name}-labels-idx1-ubyte")), labels).unwrap();
    }
}

/// Two epochs of a ResNet-20 on the images in `data`, in steps of 12 images and micro-batches of 4 (2 for other worlds than 1 and 3).
pub fn run(data: &Path, method: &str, processes: u32, edit: impl FnOnce(&mut RunSpec)) -> Run {
    let params = if method == "vanilla" { vec![] } else { vec![("alpha".to_owned(), Param::Number(1.0))] };
    let mut spec = RunSpec {
        backbone: Backbone { name: "resnet20".into() },
        method: Method { name: method.into(), params: params.into_iter().collect() },
        data: Data { name: "tiny".into(), sha256: None, mean: [0.3; 3], std: [0.25; 3] },
        training: Training {
            epochs: 2,
            global_batch: 12,
            micro_batch: if processes == 2 { 6 } else { 4 },
            eval_batch: 8,
            optimizer: Optimizer::Sgd { momentum: 0.9, nesterov: true, weight_decay: 1e-4, decay_norm_and_bias: true },
            schedule: Schedule { lr: 0.05, min_lr: 0.0, per: Per::Step, warmup_epochs: 1, warmup_start: 0.1 },
            loss: Loss::CrossEntropy { label_smoothing: 0.1 },
            init: Init::Proper,
            stem: Stem::Small,
            train: TrainTransform { crop: TrainCrop::RandomPad { size: SIDE as u32, padding: 1 }, flip: 0.5 },
            eval: EvalTransform { resize: None, crop: SIDE as u32, interpolation: Interpolation::Bicubic },
            precision: Precision::F32,
            channels_last: false,
            clip_grad_norm: None,
            metric: Metric::Last,
        },
        world: World { nodes: 1, gpus_per_node: 0, processes_per_node: processes, threads_per_process: 1 },
        seed: 17,
        load_checkpoint: None,
    };
    edit(&mut spec);
    Run {
        version: RUN_VERSION,
        id: spec.id(0),
        trial: 0,
        recipe: "test".into(),
        spec,
        attempt: 1,
        nonce: "nonce".into(),
        place: Place {
            data_uri: format!("idx:{}", data.display()),
            loader_threads: 1,
            checkpoint_every: 1,
            checkpoint_keep: 2,
            resume_from: None,
            auto_resume: true,
        },
    }
}
