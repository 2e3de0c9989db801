//! The CPU train step beside PyTorch eager, on the same libtorch: `cargo bench -p mixbench-trainer --bench step`.
//!
//! Without a setting this starts `scripts/bench_step.py` in its Python environment, which starts this program again as one side of the
//! comparison: `step BACKBONE BATCH SIDE THREADS`. Then each line of its input is a number of steps to make, answered with the seconds they
//! took. A step is what training does on a batch that is already there: zero the gradients, forward, soft cross-entropy, backward, SGD.

use std::io::{BufRead as _, Write as _, stdin, stdout};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use mixbench_crds::training::{Init, Loss, Optimizer, Stem};
use mixbench_trainer::backbones;
use mixbench_trainer::optim::{Sgd, loss::loss};
use tch::{Device, Kind, Tensor};

fn main() -> Result<()> {
    // Cargo itself passes `--bench`.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match &args[..] {
        [backbone, batch, side, threads] if !backbone.starts_with('-') => {
            serve(backbone, batch.parse()?, side.parse()?, threads.parse()?)
        }
        options => compare(options),
    }
}

/// Hands over to the script, which measures both sides in turns.
fn compare(options: &[String]) -> Result<()> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts");
    let found = Command::new(scripts.join("torch-env.sh")).stderr(std::process::Stdio::inherit()).output()?;
    if !found.status.success() {
        bail!("scripts/torch-env.sh failed: the comparison needs PyTorch for Python");
    }
    let python = String::from_utf8(found.stdout)?;
    let script = scripts.join("bench_step.py");
    let status = Command::new(python.trim()).arg(script).arg(std::env::current_exe()?).args(options).status()?;
    if !status.success() {
        bail!("scripts/bench_step.py ended with {status}");
    }
    Ok(())
}

/// Makes as many steps as each line of the input asks for.
fn serve(backbone: &str, batch: i64, side: i64, threads: i32) -> Result<()> {
    nccl_rs::tune_malloc(); // as a worker does
    tch::set_num_threads(threads);
    let options = (Kind::Float, Device::Cpu);
    let model = backbones::build(backbone, 1000, Stem::Imagenet, Init::TorchDefault, 0, Device::Cpu, Kind::Float)?;
    let optimizer = Optimizer::Sgd { momentum: 0.9, nesterov: false, weight_decay: 1e-4, decay_norm_and_bias: true };
    let mut sgd = Sgd::new(&optimizer, &model.params);
    let images = Tensor::randn([batch, 3, side, side], options);
    let targets = Tensor::randn([batch, 1000], options).softmax(1, Kind::Float);
    let spec = Loss::CrossEntropy { label_smoothing: 0.0 };
    for line in stdin().lock().lines() {
        let steps: u32 = line?.trim().parse().context("a line of the input is a number of steps")?;
        let start = Instant::now();
        for _ in 0..steps {
            sgd.zero_grad()?;
            loss(&spec, &model.net.forward(&images, true), &targets).backward();
            sgd.step(1e-3)?;
        }
        writeln!(stdout(), "{}", start.elapsed().as_secs_f64())?;
    }
    Ok(())
}
