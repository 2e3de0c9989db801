//! Draws that are not uniform.
//!
//! Logarithm, exponential and root come from the `libm` crate and not from the system's C library, whose last bits differ
//! between versions: the same key gives the same bits everywhere.

use super::Rng;

impl Rng {
    /// Standard normal (polar method: Marsaglia and Bray, 1964). The second value of the pair is dropped, so that a draw
    /// leaves nothing behind but the position.
    pub fn normal(&mut self) -> f64 {
        loop {
            let (x, y) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let s = x * x + y * y;
            if s > 0.0 && s < 1.0 {
                return x * libm::sqrt(-2.0 * libm::log(s) / s);
            }
        }
    }

    /// Beta(a, b) in `[0, 1]`, the distribution of lam; `a`, `b` > 0. Correct down to shapes where nearly all mass lies at
    /// the ends, since the two gamma variates are compared in logarithms.
    ///
    /// # Panics
    /// If `a` or `b` is not a positive finite number. Callers validate the alpha of a manifest long before.
    pub fn beta(&mut self, a: f64, b: f64) -> f64 {
        let log_x = self.log_gamma_variate(a);
        let log_y = self.log_gamma_variate(b);
        1.0 / (1.0 + libm::exp(log_y - log_x))
    }

    /// The logarithm of a Gamma(shape, 1) variate: Marsaglia and Tsang, "A Simple Method for Generating Gamma Variables",
    /// 2000, with their boost G(a) = G(a + 1) · U^(1/a) for shapes below 1.
    fn log_gamma_variate(&mut self, shape: f64) -> f64 {
        assert!(shape > 0.0 && shape.is_finite(), "Beta needs positive finite shapes, not {shape}");
        if shape < 1.0 {
            let log_g = self.log_gamma_variate(shape + 1.0);
            return log_g + libm::log(1.0 - self.uniform()) / shape;
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / libm::sqrt(9.0 * d);
        loop {
            let x = self.normal();
            let root = 1.0 + c * x;
            if root <= 0.0 {
                continue;
            }
            let v = root * root * root;
            let log_v = libm::log(v);
            if libm::log(1.0 - self.uniform()) < 0.5 * x * x + d * (1.0 - v + log_v) {
                return libm::log(d) + log_v;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::rng::{Key, Stream};
    use proptest::prelude::*;
    use statrs::distribution::{Beta, ContinuousCDF, Normal};

    /// The Kolmogorov-Smirnov distance between `draws` and `cdf`, and its critical value at significance 1e-3. A draw stands
    /// for all reals that round to it: 1.2 % of Beta(0.1, 0.1) lies within half a unit in the last place of 1.
    fn kolmogorov_smirnov(mut draws: Vec<f64>, (least, most): (f64, f64), cdf: impl Fn(f64) -> f64) -> (f64, f64) {
        draws.sort_by(f64::total_cmp);
        let n = draws.len() as f64;
        let distance = draws.iter().enumerate().fold(0.0_f64, |worst, (i, &x)| {
            let (below, above) = (cdf(x.next_down().max(least)), cdf(x.next_up().min(most)));
            worst.max(below - i as f64 / n).max((i as f64 + 1.0) / n - above)
        });
        (distance, 1.949_5 / n.sqrt())
    }

    #[test]
    fn beta_follows_the_analytic_distribution() {
        for (i, (a, b)) in
            [(0.1, 0.1), (0.2, 0.2), (0.8, 0.8), (1.0, 1.0), (2.0, 2.0), (8.0, 8.0), (0.3, 4.0)].into_iter().enumerate()
        {
            let mut rng = Key::new(i as u64, Stream::Lam).rng();
            let (law, mirrored) = (Beta::new(a, b).expect("positive"), Beta::new(b, a).expect("positive"));
            // statrs takes any x within 1e-15 of 1 for 1, where Beta(0.1, 0.1) still has 1.6 % of its mass.
            let cdf = |x| if x < 0.5 { law.cdf(x) } else { 1.0 - mirrored.cdf(1.0 - x) };
            let (distance, critical) =
                kolmogorov_smirnov((0..200_000).map(|_| rng.beta(a, b)).collect(), (0.0, 1.0), cdf);
            assert!(distance < critical, "Beta({a}, {b}): {distance} ≥ {critical}");
        }
    }

    #[test]
    fn normal_follows_the_analytic_distribution() {
        let mut rng = Key::new(5, Stream::Init).rng();
        let law = Normal::new(0.0, 1.0).expect("a positive deviation");
        let (distance, critical) =
            kolmogorov_smirnov((0..200_000).map(|_| rng.normal()).collect(), (f64::MIN, f64::MAX), |x| law.cdf(x));
        assert!(distance < critical, "{distance} ≥ {critical}");
    }

    #[test]
    #[should_panic(expected = "positive finite shapes")]
    fn beta_refuses_a_shape_of_zero() {
        Key::new(0, Stream::Lam).rng().beta(0.0, 1.0);
    }

    proptest! {
        #[test]
        fn beta_stays_in_the_unit_interval(seed: u64, a in 1e-4f64..1e3, b in 1e-4f64..1e3) {
            prop_assert!((0.0..=1.0).contains(&Key::new(seed, Stream::Lam).rng().beta(a, b)));
        }
    }
}
