//! MixUp. Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018, arXiv:1710.09412.
//!
//! x̃ = λ·x + (1 − λ)·x[perm], λ ~ Beta(α, α), one λ and one uniform permutation for a batch; fixed points are kept.

use std::borrow::Cow;

use mixbench_crds::catalog::{MethodCard, ParamCard};
use tch::{Kind, Tensor};

use super::mixed::{partners, upload, upload_lam};
use super::{DrawKey, Drawn, Method, Mix, Mixed, alpha};
use crate::data::loader::HostBatch;
use crate::rng::Stream;

const PARAMS: &[ParamCard] = &[alpha(0.2, "α of the symmetric Beta(α, α) that λ is drawn from.")];

/// The row.
pub(super) static METHOD: Method = Method {
    card: MethodCard {
        name: Cow::Borrowed("mixup"),
        title: Cow::Borrowed("MixUp"),
        paper: Cow::Borrowed("arXiv:1710.09412"),
        summary: Cow::Borrowed("Images and labels are averaged with a random partner's: λ of one, 1 − λ of the other."),
        params: Cow::Borrowed(PARAMS),
    },
    build: |params| Box::new(MixUp { alpha: params.number("alpha") }),
};

struct MixUp {
    alpha: f64,
}

impl Mix for MixUp {
    fn draw(&self, key: &DrawKey, batch: &HostBatch) -> Drawn {
        let lam = key.rng(Stream::Lam).beta(self.alpha, self.alpha);
        let perm = key.rng(Stream::Perm).permutation(batch.n);
        Drawn { mode: "mixup".into(), lam: vec![lam; batch.n], perm, bbox: None }
    }

    fn apply(&self, x: &Tensor, y: &Tensor, drawn: &Drawn) -> Mixed {
        let perm = upload(&drawn.perm, Kind::Int64, x);
        let lam = upload_lam(&drawn.lam, x);
        let mut mixed = partners(x, &perm);
        let _ = mixed.lerp_tensor_(x, &lam.to_kind(x.kind()).view([-1, 1, 1, 1]));
        Mixed { x: mixed, y_a: y.shallow_clone(), y_b: y.index_select(0, &perm), lam }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::methods::tests::{batch, host};

    #[test]
    fn each_pixel_is_the_weighted_mean_of_the_pair() {
        let (x, y) = batch(3, 4, 5, Kind::Double);
        let drawn = Drawn { mode: "mixup".into(), lam: vec![0.75, 0.5, 0.0], perm: vec![2, 1, 0], bbox: None };
        let mixed = MixUp { alpha: 1.0 }.apply(&x, &y, &drawn);
        let expected = Tensor::stack(&[x.get(0) * 0.75 + x.get(2) * 0.25, x.get(1), x.get(0)], 0);
        assert!((mixed.x - expected).abs().max().double_value(&[]) < 1e-15);
        assert!(mixed.y_b.equal(&Tensor::stack(&[y.get(2), y.get(1), y.get(0)], 0)));
    }

    #[test]
    fn lam_follows_alpha() {
        // Beta(α, α) has variance 1 / (4 (2α + 1)).
        for alpha in [0.2, 1.0, 8.0] {
            let draw =
                |step| MixUp { alpha }.draw(&DrawKey { seed: 3, epoch: 0, step, micro: 0 }, &host(1, 1, 1)).lam[0];
            let n = 20_000;
            let lams: Vec<f64> = (0..n).map(draw).collect();
            let mean = lams.iter().sum::<f64>() / f64::from(n);
            let variance = lams.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / f64::from(n);
            assert!(
                (mean - 0.5).abs() < 0.015 && (variance * 4.0 * (2.0 * alpha + 1.0) - 1.0).abs() < 0.05,
                "α = {alpha}"
            );
        }
    }
}
