//! Vanilla: no mixing, the baseline that every method is compared with.

use std::borrow::Cow;

use mixbench_crds::catalog::MethodCard;
use tch::Tensor;

use super::mixed::upload_lam;
use super::{DrawKey, Drawn, Method, Mix, Mixed};
use crate::data::loader::HostBatch;

/// The row.
pub(super) static METHOD: Method = Method {
    card: MethodCard {
        name: Cow::Borrowed("vanilla"),
        title: Cow::Borrowed("Vanilla"),
        paper: Cow::Borrowed(""),
        summary: Cow::Borrowed("No mixing: the baseline."),
        params: Cow::Borrowed(&[]),
    },
    build: |_| Box::new(Vanilla),
};

struct Vanilla;

impl Mix for Vanilla {
    fn draw(&self, _key: &DrawKey, batch: &HostBatch) -> Drawn {
        Drawn { mode: "vanilla".into(), lam: vec![1.0; batch.n], perm: (0_i64..).take(batch.n).collect(), bbox: None }
    }

    fn apply(&self, x: &Tensor, y: &Tensor, drawn: &Drawn) -> Mixed {
        Mixed { x: x.shallow_clone(), y_a: y.shallow_clone(), y_b: y.shallow_clone(), lam: upload_lam(&drawn.lam, x) }
    }
}
