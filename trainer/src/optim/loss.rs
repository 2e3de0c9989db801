//! What is minimised, over soft targets. Shapes: N images, K classes.

use mixbench_crds::training::{ClassReduction, Loss};
use tch::{Kind, Reduction, Tensor};

/// The loss of `logits_nk` against `targets_nk` (rows sum to 1), a scalar on their device; the mean over the images.
///
/// Each image keeps its own target, and so its own λ. Logits of a narrow kind (autocast) are widened first.
///
/// # Panics
/// If the shapes differ.
pub fn loss(spec: &Loss, logits_nk: &Tensor, targets_nk: &Tensor) -> Tensor {
    let logits = match logits_nk.kind() {
        Kind::Half | Kind::BFloat16 => logits_nk.to_kind(Kind::Float),
        _ => logits_nk.shallow_clone(),
    };
    match *spec {
        Loss::CrossEntropy { label_smoothing } => {
            logits.cross_entropy_loss::<Tensor>(targets_nk, None, Reduction::Mean, -100, label_smoothing)
        }
        Loss::BinaryCrossEntropy { classes } => {
            let reduction = match classes {
                ClassReduction::Sum => Reduction::Sum,
                ClassReduction::Mean => Reduction::Mean,
            };
            let loss = logits.binary_cross_entropy_with_logits::<Tensor>(targets_nk, None, None, reduction);
            if classes == ClassReduction::Sum { loss / logits.size()[0] } else { loss }
        }
    }
}

/// How many of the images' labels `y_n` were the best guess, and among the five best, as two i64 scalars on the device. Ties go as
/// `torch.topk` breaks them; with fewer than five classes all count.
pub fn topk_correct(logits_nk: &Tensor, y_n: &Tensor) -> (Tensor, Tensor) {
    let k = logits_nk.size()[1].min(5);
    let (_, guesses_nk) = logits_nk.topk(k, 1, true, true);
    let hits_nk = guesses_nk.eq_tensor(&y_n.unsqueeze(1));
    (hits_nk.select(1, 0).sum(Kind::Int64), hits_nk.sum(Kind::Int64))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use tch::Device;

    #[derive(Deserialize)]
    struct Golden {
        logits: Vec<Vec<f64>>,
        ya: Vec<i64>,
        yb: Vec<i64>,
        lam: f64,
        lam_per_sample: Vec<f64>,
        ce_two_term: f64,
        ce_soft: f64,
        ce_label_smooth_0_1: f64,
        bce_sum_over_classes_div_n: f64,
        bce_mean_all: f64,
        per_sample_soft_ce: f64,
    }

    fn golden() -> Golden {
        let text = include_str!("../../tests/golden/losses.json").replace("_div_N", "_div_n");
        serde_json::from_str(&text).unwrap()
    }

    fn logits(golden: &Golden, kind: Kind) -> Tensor {
        Tensor::from_slice2(&golden.logits).to_kind(kind)
    }

    fn targets(golden: &Golden, lam: &[f64], kind: Kind) -> Tensor {
        let one_hot = |y: &[i64]| Tensor::from_slice(y).one_hot(5).to_kind(kind);
        let lam = Tensor::from_slice(lam).to_kind(kind).unsqueeze(1);
        one_hot(&golden.ya) * &lam + one_hot(&golden.yb) * (1.0 - lam)
    }

    fn assert_loss(spec: &Loss, lam: &[f64], expected: f64) {
        let golden = golden();
        for (kind, tolerance) in [(Kind::Double, 1e-12), (Kind::Float, 1e-6)] {
            let got = loss(spec, &logits(&golden, kind), &targets(&golden, lam, kind));
            assert_eq!(got.kind(), kind);
            let got = got.double_value(&[]);
            assert!((got - expected).abs() < tolerance, "{spec:?} {kind:?}: {got} and {expected}");
        }
    }

    const PLAIN: Loss = Loss::CrossEntropy { label_smoothing: 0.0 };

    #[test]
    fn soft_cross_entropy_is_the_two_term_one() {
        let golden = golden();
        assert!((golden.ce_two_term - golden.ce_soft).abs() < 1e-15);
        assert_loss(&PLAIN, &[golden.lam; 4], golden.ce_two_term);
    }

    #[test]
    fn label_smoothing_is_the_published_one() {
        let golden = golden();
        assert_loss(&Loss::CrossEntropy { label_smoothing: 0.1 }, &[golden.lam; 4], golden.ce_label_smooth_0_1);
    }

    #[test]
    fn binary_cross_entropy_sums_or_averages_classes_and_averages_images() {
        let golden = golden();
        let of = |classes| Loss::BinaryCrossEntropy { classes };
        assert_loss(&of(ClassReduction::Sum), &[golden.lam; 4], golden.bce_sum_over_classes_div_n);
        assert_loss(&of(ClassReduction::Mean), &[golden.lam; 4], golden.bce_mean_all);
    }

    #[test]
    fn each_image_keeps_its_own_lam() {
        let golden = golden();
        assert_loss(&PLAIN, &golden.lam_per_sample, golden.per_sample_soft_ce);
    }

    #[test]
    fn narrow_logits_are_widened() {
        let golden = golden();
        let got = loss(&PLAIN, &logits(&golden, Kind::BFloat16), &targets(&golden, &[0.6; 4], Kind::Float));
        assert_eq!(got.kind(), Kind::Float);
        assert!((got.double_value(&[]) - golden.ce_soft).abs() < 1e-2);
    }

    fn correct(logits: &[f32], classes: i64, labels: &[i64]) -> (i64, i64) {
        let logits = Tensor::from_slice(logits).view([-1, classes]);
        let (top1, top5) = topk_correct(&logits, &Tensor::from_slice(labels));
        assert_eq!((top1.kind(), top5.kind()), (Kind::Int64, Kind::Int64));
        (top1.int64_value(&[]), top5.int64_value(&[]))
    }

    #[test]
    fn top_one_and_top_five_are_counted() {
        let rows =
            [[0.0, 1.0, 2.0, 3.0, 4.0, 5.0], [5.0, 4.0, 3.0, 2.0, 1.0, 0.0], [9.0, 0.0, 0.0, 0.0, 0.0, -1.0]].concat();
        assert_eq!(correct(&rows, 6, &[5, 4, 5]), (1, 2));
        assert_eq!(correct(&rows, 6, &[0, 0, 0]), (2, 2));
    }

    #[test]
    fn with_fewer_than_five_classes_every_label_is_among_the_five_best() {
        assert_eq!(correct(&[0.1, 0.9, 0.5, 0.4], 2, &[0, 0]), (1, 2));
    }

    #[test]
    fn ties_go_as_torch_topk_breaks_them() {
        let logits = Tensor::zeros([3, 8], (Kind::Float, Device::Cpu));
        let first = Vec::<i64>::try_from(logits.topk(5, 1, true, true).1.select(1, 0)).unwrap();
        assert_eq!(correct(&[0.0; 24], 8, &first), (3, 3));
    }
}
