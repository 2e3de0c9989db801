//! CutMix. Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features", ICCV 2019, arXiv:1905.04899.
//!
//! One box of x[perm] is pasted into x. Its sides are ⌊side·√(1 − λ₀)⌋ made even, λ₀ ~ Beta(α, α), its centre is uniform, what lies outside
//! the image is cut off, and λ is the area that is kept. As in OpenMixup, whose numbers are compared with, one box serves a batch, and the
//! permutation is drawn again up to ten times while it has fixed points. Rows and columns go by height and width (OpenMixup exchanges
//! them, which square images do not show).

use std::borrow::Cow;

use mixbench_crds::catalog::{MethodCard, ParamCard};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::mixed::{upload, upload_lam};
use super::{DrawKey, Drawn, Method, Mix, Mixed, alpha};
use crate::data::loader::HostBatch;
use crate::rng::{Rng, Stream};

const PARAMS: &[ParamCard] = &[alpha(1.0, "α of the symmetric Beta(α, α) that the kept area is drawn from.")];
const RETRIES: usize = 10;

/// The row.
pub(super) static METHOD: Method = Method {
    card: MethodCard {
        name: Cow::Borrowed("cutmix"),
        title: Cow::Borrowed("CutMix"),
        paper: Cow::Borrowed("arXiv:1905.04899"),
        summary: Cow::Borrowed("A box of a random partner is pasted into each image; labels are weighted by area."),
        params: Cow::Borrowed(PARAMS),
    },
    build: |params| Box::new(CutMix { alpha: params.number("alpha") }),
};

/// A rectangle of pixels: rows `top..bottom`, columns `left..right`. It may be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BBox {
    /// First row.
    pub top: i64,
    /// First column.
    pub left: i64,
    /// Row behind the last.
    pub bottom: i64,
    /// Column behind the last.
    pub right: i64,
}

impl BBox {
    /// The box around (`row`, `col`) of an image of `h` × `w` that leaves about `lam` of it, before what lies outside is cut off.
    pub fn around(h: i64, w: i64, lam: f64, row: i64, col: i64) -> Self {
        let half = |side: i64| (side as f64 * (1.0 - lam).sqrt()) as i64 / 2;
        let (half_h, half_w) = (half(h), half(w));
        Self {
            top: (row - half_h).max(0),
            left: (col - half_w).max(0),
            bottom: (row + half_h).min(h),
            right: (col + half_w).min(w),
        }
    }

    /// Pixels inside.
    pub const fn area(&self) -> i64 {
        (self.bottom - self.top) * (self.right - self.left)
    }

    /// The share of an image of `h` × `w` that lies outside.
    pub fn kept(&self, h: i64, w: i64) -> f64 {
        1.0 - self.area() as f64 / (h * w) as f64
    }

    /// The part of a tensor NCHW inside, as a view.
    fn of(&self, x: &Tensor) -> Tensor {
        x.narrow(2, self.top, self.bottom - self.top).narrow(3, self.left, self.right - self.left)
    }
}

struct CutMix {
    alpha: f64,
}

impl Mix for CutMix {
    fn draw(&self, key: &DrawKey, batch: &HostBatch) -> Drawn {
        let lam = key.rng(Stream::Lam).beta(self.alpha, self.alpha);
        let perm = prefer_derangement(&mut key.rng(Stream::Perm), batch.n);
        let mut centre = key.rng(Stream::BBox);
        let (h, w) = (batch.h as u64, batch.w as u64);
        let (row, col) = (centre.below(h).cast_signed(), centre.below(w).cast_signed());
        let (h, w) = (h.cast_signed(), w.cast_signed());
        let bbox = BBox::around(h, w, lam, row, col);
        Drawn { mode: "cutmix".into(), lam: vec![bbox.kept(h, w); batch.n], perm, bbox: Some(bbox) }
    }

    fn apply(&self, x: &Tensor, y: &Tensor, drawn: &Drawn) -> Mixed {
        let perm = upload(&drawn.perm, Kind::Int64, x);
        let mut mixed = x.empty_like();
        mixed.copy_(x);
        if let Some(bbox) = drawn.bbox.filter(|b| b.area() > 0) {
            bbox.of(&mixed).copy_(&bbox.of(x).index_select(0, &perm));
        }
        Mixed { x: mixed, y_a: y.shallow_clone(), y_b: y.index_select(0, &perm), lam: upload_lam(&drawn.lam, x) }
    }

    fn mask(&self, drawn: &Drawn, h: i64, w: i64) -> Tensor {
        let mask = Tensor::ones([1, 1, h, w], (Kind::Double, tch::Device::Cpu));
        if let Some(bbox) = &drawn.bbox {
            let _ = bbox.of(&mask).zero_();
        }
        mask
    }
}

/// A permutation without fixed points if one comes up in eleven draws, else the last draw.
fn prefer_derangement(rng: &mut Rng, n: usize) -> Vec<i64> {
    let mut perm = rng.permutation(n);
    for _ in 0..RETRIES {
        if (0_i64..).zip(&perm).all(|(i, &p)| i != p) {
            break;
        }
        perm = rng.permutation(n);
    }
    perm
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::cast_possible_wrap, clippy::cast_sign_loss)]
mod tests {
    use super::*;
    use crate::methods::tests::{batch, host, values};
    use crate::rng::Key;
    use proptest::prelude::*;

    #[derive(Deserialize)]
    struct Golden {
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        size: i64,
        lam_in: f64,
        c_row: i64,
        c_col: i64,
        rows: [i64; 2],
        cols: [i64; 2],
        lam_out: f64,
    }

    #[test]
    fn boxes_and_corrected_lam_are_the_published_ones() {
        let golden: Golden = serde_json::from_str(include_str!("../../tests/golden/cutmix_box.json")).unwrap();
        assert!(golden.cases.len() >= 10);
        for c in golden.cases {
            let bbox = BBox::around(c.size, c.size, c.lam_in, c.c_row, c.c_col);
            assert_eq!(([bbox.top, bbox.bottom], [bbox.left, bbox.right]), (c.rows, c.cols));
            assert!((bbox.kept(c.size, c.size) - c.lam_out).abs() < 1e-15, "{bbox:?}");
        }
    }

    #[test]
    fn a_height_is_not_a_width() {
        let expected = BBox { top: 0, left: 20, bottom: 4, right: 60 };
        assert_eq!(BBox::around(8, 80, 0.75, 2, 40), expected);
    }

    #[test]
    fn eleven_draws_leave_few_fixed_points() {
        let n = 2000;
        let with_fixed = (0..n)
            .filter(|&step| {
                let perm = prefer_derangement(&mut Key::new(1, Stream::Perm).step(0, step, 0).rng(), 64);
                (0_i64..).zip(&perm).any(|(i, &p)| i == p)
            })
            .count();
        // (1 − 1/e)^11 = 0.0064 of them.
        assert!((2..=30).contains(&with_fixed), "{with_fixed} of {n}");
        assert_eq!(prefer_derangement(&mut Key::new(1, Stream::Perm).rng(), 1), [0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn corrected_lam_equals_kept_area_and_each_pixel_is_of_one_of_the_pair(
            seed: u64, step: u32, n in 1usize..6, h in 1usize..24, w in 1usize..24, alpha in 0.05..8.0,
        ) {
            let method = CutMix { alpha };
            let drawn = method.draw(&DrawKey { seed, epoch: 1, step, micro: 0 }, &host(n, h, w));
            let (x, y) = batch(n, h, w, Kind::Float);
            let mixed = method.apply(&x, &y, &drawn);
            let bbox = drawn.bbox.unwrap();
            let (a, m) = (values(&x), values(&mixed.x));
            let pixels = 3 * h * w;
            for i in 0..n {
                let mut pasted = 0;
                for at in 0..pixels {
                    let (row, col) = ((at / w % h) as i64, (at % w) as i64);
                    let inside = (bbox.top..bbox.bottom).contains(&row) && (bbox.left..bbox.right).contains(&col);
                    let from = if inside { drawn.perm[i] as usize } else { i };
                    pasted += usize::from(inside);
                    prop_assert_eq!(m[i * pixels + at].to_bits(), a[from * pixels + at].to_bits());
                }
                prop_assert_eq!(drawn.lam[i].to_bits(), (1.0 - (pasted / 3) as f64 / (h * w) as f64).to_bits());
            }
        }
    }
}
