//! The networks beside torchvision's, with vectors that `scripts/golden_torch.py` made.
#![allow(clippy::unwrap_used)]

use mixbench_crds::training::{Init, Stem};
use serde::Deserialize;
use tch::{Device, Kind, Reduction, Tensor};

use super::build;

#[derive(Deserialize)]
struct Golden {
    classes: i64,
    images: i64,
    networks: Vec<Network>,
}

#[derive(Deserialize)]
struct Network {
    name: String,
    stem: Stem,
    side: i64,
    eval_logits: Vec<f64>,
    train_logits: Vec<f64>,
    loss: f64,
    conv1_grad: Probe,
    input_grad: Probe,
    fc_grad: Probe,
    all_grads_norm: f64,
    bn1_running_mean: Probe,
    bn1_running_var: Probe,
}

#[derive(Deserialize)]
struct Probe {
    step: usize,
    values: Vec<f64>,
    norm: f64,
}

/// The script's counter: splitmix64 of (FNV-1a of the name) + (i + 1) times the golden ratio, in [0, 1).
fn unit(name: &str, count: i64) -> Vec<f64> {
    let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    (1..=count.cast_unsigned())
        .map(|i| {
            let z = seed.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
        })
        .collect()
}

/// The script's value of a parameter or buffer.
pub(crate) fn values(name: &str, shape: &[i64]) -> Tensor {
    let mut v = unit(name, shape.iter().product());
    let root = (3.0 / shape.iter().skip(1).product::<i64>() as f64).sqrt();
    for u in &mut v {
        *u = match shape.len() {
            2.. => (2.0 * *u - 1.0) * root,
            _ if name.ends_with("weight") || name.ends_with("running_var") => 0.5 + *u,
            _ => 0.2 * (*u - 0.5),
        };
    }
    Tensor::from_slice(&v).reshape(shape)
}

fn close(what: &str, got: &[f64], expected: &[f64]) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let most = expected.iter().fold(0.0_f64, |m, e| m.max(e.abs()));
    let error = got.iter().zip(expected).fold(0.0_f64, |m, (g, e)| m.max((g - e).abs())) / most;
    assert!(error <= 1e-9, "{what}: relative error {error:e}");
}

fn probe(what: &str, tensor: &Tensor, expected: &Probe) {
    let flat = Vec::<f64>::try_from(tensor.reshape([-1])).unwrap();
    let got: Vec<f64> = flat.iter().copied().step_by(expected.step).take(expected.values.len()).collect();
    close(what, &got, &expected.values);
    close(what, &[flat.iter().map(|v| v * v).sum::<f64>().sqrt()], &[expected.norm]);
}

fn equals_torchvision(name: &str) {
    tch::set_num_threads(1);
    let golden: Golden = serde_json::from_str(include_str!("../../tests/golden/networks.json")).unwrap();
    let cases: Vec<&Network> = golden.networks.iter().filter(|n| n.name == name).collect();
    assert!(!cases.is_empty());
    for case in cases {
        let model = build(name, golden.classes, case.stem, Init::TorchDefault, 0, Device::Cpu, Kind::Double).unwrap();
        for (name, mut tensor) in model.vs.variables() {
            tch::no_grad(|| tensor.copy_(&values(&name, &tensor.size())));
        }
        let shape = [golden.images, 3, case.side, case.side];
        let x = (values("images", &[shape.iter().product()]) * 2.0 / 0.2).reshape(shape).set_requires_grad(true);
        let y = Tensor::arange(golden.images, (Kind::Int64, Device::Cpu)).g_mul_scalar(5).remainder(golden.classes);
        let flat = |t: &Tensor| Vec::<f64>::try_from(t.detach().reshape([-1])).unwrap();

        close("eval", &flat(&tch::no_grad(|| model.net.forward(&x, false))), &case.eval_logits);
        let logits = model.net.forward(&x, true);
        close("train", &flat(&logits), &case.train_logits);
        let loss = logits.cross_entropy_loss::<Tensor>(&y, None, Reduction::Mean, -100, 0.0);
        close("loss", &flat(&loss), &[case.loss]);
        loss.backward();
        let tensor = |name: &str| model.vs.variables().remove(name).unwrap();
        probe("conv1", &tensor("conv1.weight").grad(), &case.conv1_grad);
        probe("input", &x.grad(), &case.input_grad);
        probe("fc", &tensor("fc.weight").grad(), &case.fc_grad);
        let squares = model.params.iter().map(|(_, p)| p.grad().square().sum(Kind::Double).double_value(&[]));
        close("all gradients", &[squares.sum::<f64>().sqrt()], &[case.all_grads_norm]);
        probe("running mean", &tensor("bn1.running_mean"), &case.bn1_running_mean);
        probe("running variance", &tensor("bn1.running_var"), &case.bn1_running_var);
    }
}

#[test]
fn resnet20_equals_its_reference() {
    equals_torchvision("resnet20");
}

#[test]
fn resnet18_equals_torchvision_with_both_stems() {
    equals_torchvision("resnet18");
}

#[test]
fn resnet34_equals_torchvision() {
    equals_torchvision("resnet34");
}

#[test]
fn resnet50_equals_torchvision() {
    equals_torchvision("resnet50");
}

#[test]
fn resnet101_equals_torchvision() {
    equals_torchvision("resnet101");
}
