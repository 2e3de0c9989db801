//! Laws that every row of the table keeps, and how names and parameters are refused.
#![allow(clippy::unwrap_used, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

use mixbench_crds::catalog::ParamKind;
use mixbench_crds::run::{self, Param};
use mixbench_crds::training::Loss;
use proptest::prelude::*;
use tch::{Device, Kind, Tensor};

use super::{DrawKey, Drawn, METHODS, Method, Mix, Mixed, Scope, build, find, resolve};
use crate::data::loader::HostBatch;

/// A batch of which only the sizes are known.
pub(super) fn host(n: usize, h: usize, w: usize) -> HostBatch {
    let mut batch = HostBatch::default();
    (batch.n, batch.h, batch.w) = (n, h, w);
    batch
}

/// Images of which no two pixels are alike, and labels.
pub(super) fn batch(n: usize, h: usize, w: usize, kind: Kind) -> (Tensor, Tensor) {
    let shape = [n, 3, h, w].map(|s| s.cast_signed() as i64);
    let count: i64 = shape.iter().product();
    let x = ((Tensor::arange(count, (Kind::Double, Device::Cpu)) * 0.37).sin() * 2.0).reshape(shape).to_kind(kind);
    (x, Tensor::arange(shape[0], (Kind::Int64, Device::Cpu)).remainder(3))
}

/// The elements in order of NCHW.
pub(super) fn values(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.to_kind(Kind::Double).contiguous().view([-1])).unwrap()
}

fn default(method: &Method) -> Box<dyn Mix> {
    build(&resolve(&method.card.name, &[]).unwrap()).unwrap()
}

/// Draws and mixes with each method.
fn each(
    seed: u64,
    n: usize,
    side: (usize, usize),
    kind: Kind,
    law: impl Fn(&dyn Mix, &Drawn, (&Tensor, &Tensor), &Mixed),
) {
    for row in METHODS {
        let method = default(row);
        let drawn = method.draw(&DrawKey { seed, epoch: 2, step: 7, micro: 0 }, &host(n, side.0, side.1));
        let (x, y) = batch(n, side.0, side.1, kind);
        let mixed = method.apply(&x, &y, &drawn);
        law(&*method, &drawn, (&x, &y), &mixed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn targets_sum_to_one_and_lam_is_a_share(seed: u64, n in 1usize..9, double: bool) {
        let kind = if double { Kind::Double } else { Kind::Float };
        each(seed, n, (8, 6), kind, |_, drawn, _, mixed| {
            assert!(drawn.lam.len() == n && drawn.lam.iter().all(|l| (0.0..=1.0).contains(l)));
            let targets = mixed.targets(5);
            assert_eq!((targets.size(), targets.kind()), (vec![n as i64, 5], kind));
            assert!(values(&targets).iter().all(|t| (0.0..=1.0).contains(t)));
            let error = (targets.sum_dim_intlist(1, false, Kind::Double) - 1.0).abs().max().double_value(&[]);
            assert!(error <= if double { 1e-15 } else { 1e-7 }, "{error:e}");
        });
    }

    #[test]
    fn partners_are_a_permutation_and_labels_go_with_the_images(seed: u64, n in 1usize..9) {
        each(seed, n, (8, 8), Kind::Float, |_, drawn, (_, y), mixed| {
            let mut sorted = drawn.perm.clone();
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq(0..n as i64));
            assert!(mixed.y_a.equal(y) && mixed.y_b.equal(&y.index_select(0, &Tensor::from_slice(&drawn.perm))));
            assert!((&mixed.lam - Tensor::from_slice(&drawn.lam)).abs().max().double_value(&[]) < 1e-7);
        });
    }

    #[test]
    fn the_mask_says_what_share_of_each_pixel_is_its_own(seed: u64, n in 1usize..6, h in 1usize..20, w in 1usize..20) {
        each(seed, n, (h, w), Kind::Double, |method, drawn, (x, _), mixed| {
            let mask = method.mask(drawn, h as i64, w as i64);
            let other = x.index_select(0, &Tensor::from_slice(&drawn.perm));
            let restored: Tensor = x * &mask + other * (1.0 - &mask);
            let error = (restored - &mixed.x).abs().max().double_value(&[]);
            assert!(error < 1e-15, "{} {error:e}", drawn.mode);
            let area = mask.expand([n as i64, 1, h as i64, w as i64], false).mean_dim([1i64, 2, 3].as_slice(), false, None);
            assert!((area - Tensor::from_slice(&drawn.lam)).abs().max().double_value(&[]) < 1e-12, "{}", drawn.mode);
        });
    }

    #[test]
    fn inputs_stay_as_they_are_and_so_do_kind_and_shape(seed: u64, n in 1usize..6) {
        for kind in [Kind::Float, Kind::Double, Kind::BFloat16] {
            each(seed, n, (8, 8), kind, |_, _, (x, y), mixed| {
                let (fresh_x, fresh_y) = batch(n, 8, 8, kind);
                assert!(x.equal(&fresh_x) && y.equal(&fresh_y));
                assert_eq!((mixed.x.kind(), mixed.x.size()), (kind, x.size()));
            });
        }
    }

    #[test]
    fn channels_last_stays_and_changes_no_value(seed: u64, n in 2usize..6) {
        each(seed, n, (7, 9), Kind::Float, |method, drawn, (x, y), mixed| {
            let nhwc = x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
            let last = method.apply(&nhwc, y, drawn);
            assert!(last.x.permute([0, 2, 3, 1]).is_contiguous(), "{}", drawn.mode);
            assert!(last.x.equal(&mixed.x), "{}", drawn.mode);
        });
    }

    #[test]
    fn the_same_address_draws_the_same_and_another_one_does_not(seed: u64, epoch: u32, step in 0u32..1_000_000) {
        for row in METHODS.iter().filter(|row| row.card.name != "vanilla") {
            let method = default(row);
            let draw = |seed, step, micro| method.draw(&method.scope().key(seed, epoch, step, micro), &host(16, 32, 32));
            assert_eq!(draw(seed, step, 0), draw(seed, step, 0));
            assert_eq!(draw(seed, step, 0) == draw(seed, step, 3), method.scope() == Scope::Step);
            assert_ne!(draw(seed, step, 0), draw(seed, step + 1, 0));
            assert_ne!(draw(seed, step, 0), draw(seed.wrapping_add(1), step, 0));
        }
    }
}

#[test]
fn lam_of_one_is_the_identity_with_the_plain_loss() {
    for row in METHODS {
        let (x, y) = batch(4, 8, 8, Kind::Float);
        let method = default(row);
        let mut drawn = method.draw(&DrawKey { seed: 1, epoch: 0, step: 0, micro: 0 }, &host(4, 8, 8));
        drawn.lam = vec![1.0; 4];
        drawn.bbox = drawn.bbox.map(|b| super::BBox { bottom: b.top, right: b.left, ..b });
        let mixed = method.apply(&x, &y, &drawn);
        assert!(mixed.x.equal(&x), "{}", row.card.name);
        let logits = Tensor::randn([4, 3], (Kind::Float, Device::Cpu));
        let loss = method.loss(&Loss::CrossEntropy { label_smoothing: 0.0 }, &logits, &mixed);
        let plain = logits.cross_entropy_loss::<Tensor>(&y, None, tch::Reduction::Mean, -100, 0.0);
        assert!((loss - plain).abs().double_value(&[]) < 1e-6, "{}", row.card.name);
    }
}

#[test]
fn a_draw_survives_its_json() {
    each(11, 5, (12, 12), Kind::Float, |_, drawn, _, _| {
        let text = serde_json::to_string(drawn).unwrap();
        assert_eq!(&serde_json::from_str::<Drawn>(&text).unwrap(), drawn);
    });
}

fn refusal(name: &str, params: &[(&str, Param)]) -> String {
    let params = params.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect();
    build(&run::Method { name: name.to_owned(), params }).err().unwrap().to_string()
}

#[test]
fn what_is_refused_is_named_with_its_remedy() {
    assert_eq!(
        refusal("cutmx", &[]),
        "unknown method `cutmx`; did you mean `cutmix`?; `mixbench-trainer catalog` lists all"
    );
    assert_eq!(
        refusal("mixup", &[("alfa", Param::Number(1.0))]),
        "method `mixup` has no parameter `alfa`; did you mean `alpha`?"
    );
    assert!(refusal("mixup", &[]).starts_with("method `mixup` needs its parameter `alpha`"));
    assert_eq!(
        refusal("cutmix", &[("alpha", Param::Number(0.0))]),
        "parameter `alpha` of method `cutmix`: 0 is out of range: 0 < value ≤ 64"
    );
    assert!(refusal("mixup", &[("alpha", Param::Text("much".into()))]).ends_with("`much` is not a number"));
    assert!(resolve("mixup", &[("alpha".into(), "65".into())]).is_err());
}

#[test]
fn defaults_fill_what_is_not_given() {
    let alpha = |name, given: &[(String, String)]| resolve(name, given).unwrap().params["alpha"].number().unwrap();
    assert!((alpha("mixup", &[]) - 0.2).abs() < 1e-15 && (alpha("cutmix", &[]) - 1.0).abs() < 1e-15);
    assert!((alpha("mixup", &[("alpha".into(), "0.4".into())]) - 0.4).abs() < 1e-15);
    assert!(matches!(find("mixup").unwrap().card.params[0].kind, ParamKind::Number { .. }));
}
