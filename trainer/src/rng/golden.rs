//! Frozen draws: whoever changes the generator, the key's layout, a stream's number or a sampler sees it here.
//!
//! Such a change makes every run another run. If it is meant, `MIXBENCH_BLESS=1 cargo test golden_draws` writes the file
//! anew, and the changelog must say that results before and after are not comparable.

use super::{Key, Rng, Stream};
use crate::data::order::Order;
use serde_json::{Value, json};
use std::path::Path;
use strum::IntoEnumIterator;

fn repeat<T>(key: Key, count: usize, mut draw: impl FnMut(&mut Rng) -> T) -> Vec<T> {
    let mut rng = key.rng();
    (0..count).map(|_| draw(&mut rng)).collect()
}

/// Floats as bits: a golden draw is equal or it is not.
fn bits(draws: &[f64]) -> Vec<String> {
    draws.iter().map(|x| format!("{:016x} {x:.6}", x.to_bits())).collect()
}

fn draws() -> Value {
    let key = |stream| Key { seed: 0x0123_4567_89ab_cdef, stream, epoch: 3, index: (5 << 32) + 7, micro: 2 };
    let streams: serde_json::Map<String, Value> = Stream::iter()
        .map(|stream| (<&str>::from(stream).to_owned(), json!([stream as u32, repeat(key(stream), 6, Rng::next_u32)])))
        .collect();
    let betas: serde_json::Map<String, Value> = [0.1, 0.2, 0.8, 1.0, 2.0, 8.0]
        .map(|a| (format!("{a}"), json!(bits(&repeat(key(Stream::Lam), 8, |r| r.beta(a, a))))))
        .into_iter()
        .collect();
    let order = Order::new(11, 4, 1000);
    let below: Vec<_> = [1, 2, 3, 10, 224, 1000, 1 << 33]
        .map(|n| json!([n, repeat(key(Stream::BBox), 6, |r| r.below(n))]))
        .into_iter()
        .collect();
    json!({
        "streams": streams,
        "next_u64": repeat(key(Stream::Mode), 4, |r| format!("{:016x}", r.next_u64())),
        "uniform": bits(&repeat(key(Stream::Mode), 6, Rng::uniform)),
        "below": below,
        "normal": bits(&repeat(key(Stream::Init), 8, Rng::normal)),
        "beta": betas,
        "permutation": key(Stream::Perm).rng().permutation(32),
        "torch_seed": key(Stream::Torch).torch_seed(),
        "order": (0..24).map(|i| order.get(i)).collect::<Vec<_>>(),
    })
}

#[test]
fn golden_draws_are_what_they_always_were() -> anyhow::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/rng.json");
    let now = draws();
    if std::env::var_os("MIXBENCH_BLESS").is_some() {
        std::fs::write(&path, serde_json::to_string_pretty(&now)? + "\n")?;
    }
    let frozen: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
    for (name, expected) in frozen.as_object().expect("an object of draws") {
        assert_eq!(&now[name], expected, "draws of {name} have changed");
    }
    assert_eq!(now, frozen);
    Ok(())
}
