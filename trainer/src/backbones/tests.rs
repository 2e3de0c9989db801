//! The table and its laws.
#![allow(clippy::unwrap_used)]

use mixbench_crds::training::{Init, Stem};
use tch::{Device, Kind, Tensor};

use super::{BACKBONES, BackboneError, Fill, Model, build, init};

fn small(name: &str, init: Init, seed: u64) -> Model {
    build(name, 10, Stem::Small, init, seed, Device::Cpu, Kind::Float).unwrap()
}

fn count(model: &Model) -> u64 {
    model.params.iter().map(|(_, tensor)| tensor.numel() as u64).sum()
}

#[test]
fn every_card_counts_the_parameters_of_its_network() {
    for backbone in BACKBONES {
        let card = &backbone.card;
        let model = build(&card.name, 1000, card.stems[0], Init::TorchDefault, 0, Device::Cpu, Kind::Float).unwrap();
        assert_eq!(count(&model), card.parameters, "{}", card.name);
    }
}

#[test]
fn the_small_stem_with_200_classes_counts_as_published() {
    let model = build("resnet18", 200, Stem::Small, Init::Proper, 0, Device::Cpu, Kind::Float).unwrap();
    assert_eq!(count(&model), 11_271_432);
}

#[test]
fn every_backbone_trains_and_evaluates_with_every_stem_at_its_smallest_input() {
    for backbone in BACKBONES {
        for &stem in &*backbone.card.stems {
            let model = build(&backbone.card.name, 7, stem, Init::Proper, 0, Device::Cpu, Kind::Float).unwrap();
            let side = i64::from(backbone.card.min_input);
            let x = Tensor::randn([2, 3, side, side], (Kind::Float, Device::Cpu));
            for train in [true, false] {
                let logits = model.net.forward(&x, train);
                assert_eq!(logits.size(), [2, 7], "{}", backbone.card.name);
                assert!(bool::try_from(logits.isfinite().all()).unwrap(), "{}", backbone.card.name);
            }
            for named in [&model.params, &model.buffers] {
                assert!(named.is_sorted_by(|a, b| a.0 < b.0));
            }
            assert!(model.buffers.iter().all(|(name, _)| name.contains("running_")));
        }
    }
}

#[test]
fn a_network_is_the_chain_of_its_stages_and_a_stage_keeps_its_input() {
    for backbone in BACKBONES.iter().filter(|b| b.card.parameters < 12_000_000) {
        let net = small(&backbone.card.name, Init::TorchDefault, 3).net;
        let mut x = Tensor::randn([2, 3, 32, 32], (Kind::Float, Device::Cpu));
        let logits = net.forward(&x, false);
        for stage in 0..net.stages().len() {
            let before = x.copy();
            let out = net.stage(stage, &x, false);
            assert!(x.equal(&before), "{} {}", backbone.card.name, net.stages()[stage]);
            x = out;
        }
        assert!(x.equal(&logits), "{}", backbone.card.name);
    }
}

#[test]
fn weights_depend_on_the_seed_and_nothing_else() {
    for init in [Init::Proper, Init::TorchDefault] {
        let (a, b, other) = (small("resnet20", init, 5), small("resnet20", init, 5), small("resnet20", init, 6));
        assert!(a.params.iter().zip(&b.params).all(|(a, b)| a.0 == b.0 && a.1.equal(&b.1)));
        assert!(a.params.iter().zip(&other.params).any(|(a, b)| !a.1.equal(&b.1)));
        let double = build("resnet20", 10, Stem::Small, init, 5, Device::Cpu, Kind::Double).unwrap();
        assert!(a.params.iter().zip(&double.params).all(|(a, b)| a.1.to_kind(Kind::Double).equal(&b.1)));
    }
}

#[test]
fn torch_default_is_uniform_over_one_by_root_fan_in() {
    for (name, tensor) in small("resnet18", Init::TorchDefault, 1).params {
        let size = tensor.size();
        let (most, std) = (tensor.abs().max().double_value(&[]), tensor.std(false).double_value(&[]));
        match (size.len(), name.as_str()) {
            (1, "fc.bias") => assert!(most <= 1.0 / 512f64.sqrt() && most > 0.0),
            (1, _) if name.ends_with("weight") => assert!(tensor.equal(&tensor.ones_like()), "{name}"),
            (1, _) => assert!(tensor.equal(&tensor.zeros_like()), "{name}"),
            _ => {
                let bound = 1.0 / (size[1..].iter().product::<i64>() as f64).sqrt();
                assert!(most <= bound * (1.0 + 1e-6) && most > 0.99 * bound, "{name}: {most} beside {bound}");
                assert!((std / (bound / 3f64.sqrt()) - 1.0).abs() < 0.02, "{name}: {std}");
            }
        }
    }
}

#[test]
fn proper_is_normal_over_fan_out_with_blocks_that_start_as_the_identity() {
    for (backbone, last) in [("resnet18", ".bn2.weight"), ("resnet50", ".bn3.weight"), ("resnet20", ".bn2.weight")] {
        for (name, tensor) in small(backbone, Init::Proper, 1).params {
            let size = tensor.size();
            let (mean, std) = (tensor.mean(Kind::Float).double_value(&[]), tensor.std(false).double_value(&[]));
            let wanted = match size.len() {
                4 => (2.0 / (size[0] * size[2] * size[3]) as f64).sqrt(),
                2 => 0.01,
                _ => {
                    let one = name.ends_with("weight") && !name.ends_with(last);
                    assert!((mean, std) == (f64::from(u8::from(one)), 0.0), "{backbone} {name}");
                    continue;
                }
            };
            // Five standard errors.
            let error = 5.0 / (tensor.numel() as f64).sqrt();
            assert!(
                (std / wanted - 1.0).abs() < error && mean.abs() < error * wanted,
                "{backbone} {name}: {mean} ± {std}"
            );
        }
    }
}

#[test]
fn the_stems_norm_is_not_the_last_of_a_block() {
    assert_eq!(init::residual("bn2.weight", &[64], "bn2.weight"), Fill::Const(1.0));
    assert_eq!(init::residual("layer1.0.bn2.weight", &[64], "bn2.weight"), Fill::Const(0.0));
}

#[test]
fn channels_last_stays_and_gives_the_same_logits() {
    for name in ["resnet20", "resnet18"] {
        let mut model = build(name, 10, Stem::Small, Init::TorchDefault, 0, Device::Cpu, Kind::Double).unwrap();
        let x = Tensor::randn([2, 3, 32, 32], (Kind::Double, Device::Cpu));
        let nhwc = |t: &Tensor| t.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
        let expected = model.net.forward(&x, true);
        for (_, tensor) in model.params.iter_mut().filter(|(_, t)| t.dim() == 4) {
            tensor.set_data(&tch::no_grad(|| nhwc(tensor)));
        }
        let stages = model.net.stages().len();
        let features = model.net.forward_range(0, stages - 1, &nhwc(&x), true);
        assert!(features.permute([0, 2, 3, 1]).is_contiguous(), "{name}");
        let logits = model.net.forward_range(stages - 1, stages, &features, true);
        assert!((logits - expected).abs().max().double_value(&[]) < 1e-12, "{name}");
    }
}

#[test]
fn unknown_names_and_stems_are_refused_with_what_there_is() {
    let refused = |name, stem| build(name, 10, stem, Init::Proper, 0, Device::Cpu, Kind::Float).unwrap_err();
    assert_eq!(
        refused("resnet8", Stem::Small).to_string(),
        "unknown backbone `resnet8`; did you mean `resnet18`?; `mixbench-trainer catalog` lists all"
    );
    let error = refused("resnet20", Stem::Imagenet);
    assert!(matches!(error, BackboneError::Stem { .. }));
    assert_eq!(error.to_string(), "backbone `resnet20` has no imagenet stem; it has: small");
}
