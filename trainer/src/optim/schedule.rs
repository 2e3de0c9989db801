//! The learning rate as a function of where a run stands. Pure, so that a resumed run needs no schedule state.

use std::f64::consts::PI;

use mixbench_crds::training::{Per, Schedule};

/// The learning rate of step `step` (from 0, within the epoch) of epoch `epoch` (from 0).
///
/// At progress p (epoch ÷ epochs or step ÷ steps of the run) it is `min + (lr − min)/2 · (1 + cos πp)`. In the first `warmup_epochs` epochs
/// that value is multiplied by `1 − (1 − t/T)(1 − warmup_start)`, where t counts steps and T is the warm-up's length: the cosine is not shifted
/// (as in mmcv). The cosine is `libm`'s and not the system's, so that the same run has the same rates everywhere.
pub fn lr(schedule: &Schedule, epochs: u32, steps_per_epoch: u64, epoch: u32, step: u64) -> f64 {
    let done = u64::from(epoch) * steps_per_epoch + step;
    let progress = match schedule.per {
        Per::Epoch => f64::from(epoch) / f64::from(epochs),
        Per::Step => done as f64 / (u64::from(epochs) * steps_per_epoch) as f64,
    };
    let regular = schedule.min_lr + (schedule.lr - schedule.min_lr) / 2.0 * (1.0 + libm::cos(PI * progress));
    let warmup = u64::from(schedule.warmup_epochs) * steps_per_epoch;
    if done >= warmup {
        return regular;
    }
    regular * (1.0 - (1.0 - done as f64 / warmup as f64) * (1.0 - schedule.warmup_start))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp, clippy::cast_sign_loss)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    const PLAIN: Schedule = Schedule { lr: 0.1, min_lr: 0.0, per: Per::Epoch, warmup_epochs: 0, warmup_start: 0.0 };
    const RSB: Schedule = Schedule { lr: 8e-3, min_lr: 1e-6, per: Per::Epoch, warmup_epochs: 5, warmup_start: 1e-5 };

    fn golden(list: &str) -> Vec<Value> {
        let all: Value = serde_json::from_str(include_str!("../../tests/golden/schedules.json")).unwrap();
        all[list].as_array().unwrap().clone()
    }

    fn within_two_ulps(got: f64, expected: f64) -> bool {
        (got - expected).abs() <= 2.0 * f64::EPSILON * expected
    }

    #[test]
    fn the_pytorch_schedule_is_the_published_one() {
        for point in golden("pytorch100") {
            let epoch = point["epoch"].as_u64().unwrap() as u32;
            for step in [0, 17, 5004] {
                assert_eq!(lr(&PLAIN, 100, 5005, epoch, step), point["lr"].as_f64().unwrap(), "epoch {epoch}");
            }
        }
    }

    #[test]
    fn warm_up_multiplies_the_cosine_that_is_already_falling() {
        for point in golden("rsb_a3_warmup") {
            let iter = point["iter"].as_u64().unwrap();
            let got = lr(&RSB, 100, 626, (iter / 626) as u32, iter % 626);
            let expected = point["lr"].as_f64().unwrap();
            assert!((got / expected - 1.0).abs() < 1e-13, "iteration {iter}: {got} and {expected}");
        }
        for point in golden("rsb_a3") {
            let got = lr(&RSB, 100, 626, point["epoch"].as_u64().unwrap() as u32, 0);
            assert!(within_two_ulps(got, point["lr"].as_f64().unwrap()), "{point}: {got}");
        }
    }

    #[test]
    fn a_schedule_by_step_moves_within_an_epoch_and_one_by_epoch_does_not() {
        assert!(
            lr(&Schedule { per: Per::Step, ..PLAIN }, 4, 10, 1, 5)
                < lr(&Schedule { per: Per::Step, ..PLAIN }, 4, 10, 1, 4)
        );
        assert_eq!(lr(&Schedule { per: Per::Step, ..PLAIN }, 4, 10, 2, 0), lr(&PLAIN, 4, 10, 2, 9));
    }

    proptest! {
        #[test]
        fn a_rate_is_never_above_the_peak_nor_negative(
            warmup_epochs in 0u32..9, start in 0.0..1.0, min in 0.0..0.1, epochs in 1u32..300, steps in 1u64..5005, at in 0.0..1.0, by_step: bool,
        ) {
            let per = if by_step { Per::Step } else { Per::Epoch };
            let schedule = Schedule { lr: 0.1, min_lr: min, per, warmup_epochs, warmup_start: start };
            let done = (at * f64::from(epochs) * steps as f64) as u64;
            let rate = lr(&schedule, epochs, steps, (done / steps) as u32, done % steps);
            prop_assert!((0.0..=0.1 * (1.0 + 1e-15)).contains(&rate), "{}", rate);
        }
    }
}
