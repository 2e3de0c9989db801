//! The recipe with the manifest's overrides.

use mixbench_crds::benchmark::Overrides;
use mixbench_crds::recipe::Recipe;
use mixbench_crds::training::{Loss, Optimizer, TrainCrop, Training};

use super::problem::Problem;

/// Where overrides stand.
const PATH: &str = "spec.recipe.overrides";

/// The training, and in what it differs from the recipe's.
pub(super) fn resolve(
    recipe: &Recipe,
    overrides: Option<&Overrides>,
    problems: &mut Vec<Problem>,
) -> (Training, Vec<String>) {
    let mut training = recipe.training.clone();
    if let Some(overrides) = overrides {
        apply(overrides, &mut training, problems);
    }
    check(&training, problems);
    let changed = differences(&recipe.training, &training);
    (training, changed)
}

fn apply(o: &Overrides, t: &mut Training, problems: &mut Vec<Problem>) {
    let mut decimal = |field: &str, text: Option<&String>, target: &mut f64| {
        let Some(text) = text else { return };
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => *target = value,
            _ => problems.push(
                Problem::new(format!("{PATH}.{field}"), format!("`{text}` is not a number")).remedy("such as \"0.1\""),
            ),
        }
    };
    let Optimizer::Sgd { momentum, weight_decay, .. } = &mut t.optimizer;
    decimal("momentum", o.momentum.as_ref(), momentum);
    decimal("weightDecay", o.weight_decay.as_ref(), weight_decay);
    decimal("lr", o.lr.as_ref(), &mut t.schedule.lr);
    decimal("minLr", o.min_lr.as_ref(), &mut t.schedule.min_lr);
    match &mut t.loss {
        Loss::CrossEntropy { label_smoothing } => {
            decimal("labelSmoothing", o.label_smoothing.as_ref(), label_smoothing);
        }
        Loss::BinaryCrossEntropy { .. } if o.label_smoothing.is_some() => problems.push(
            Problem::new(format!("{PATH}.labelSmoothing"), "the recipe's loss is binary cross-entropy, which has none")
                .remedy("leave it out"),
        ),
        Loss::BinaryCrossEntropy { .. } => {}
    }
    set(&mut t.epochs, o.epochs);
    set(&mut t.global_batch, o.global_batch);
    set(&mut t.micro_batch, o.micro_batch);
    set(&mut t.eval_batch, o.eval_batch);
    set(&mut t.schedule.warmup_epochs, o.warmup_epochs);
    set(&mut t.precision, o.precision);
    set(&mut t.channels_last, o.channels_last);
    set(&mut t.init, o.init);
    set(&mut t.stem, o.stem);
    match &mut t.train.crop {
        TrainCrop::RandomResized { size, .. } | TrainCrop::RandomPad { size, .. } => set(size, o.train_size),
    }
    set(&mut t.eval.crop, o.test_crop);
    if o.test_resize.is_some() {
        t.eval.resize = o.test_resize;
    }
}

fn set<T>(target: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *target = value;
    }
}

fn check(t: &Training, problems: &mut Vec<Problem>) {
    let mut wrong = |field: &str, message: String, remedy: &str| {
        problems.push(Problem::new(format!("{PATH}.{field}"), message).remedy(remedy));
    };
    if t.schedule.lr <= 0.0 {
        wrong("lr", format!("{} is out of range", t.schedule.lr), "it must be above 0");
    }
    if t.schedule.min_lr > t.schedule.lr {
        wrong("minLr", format!("{} is above lr {}", t.schedule.min_lr, t.schedule.lr), "lower it, or raise lr");
    }
    if t.schedule.warmup_epochs > t.epochs {
        let message = format!("{} is above epochs {}", t.schedule.warmup_epochs, t.epochs);
        wrong("warmupEpochs", message, "lower it, or raise epochs");
    }
    if let Some(resize) = t.eval.resize.filter(|resize| *resize < t.eval.crop) {
        let message = format!("{} is larger than the resized image of {resize} pixels", t.eval.crop);
        wrong("testCrop", message, "lower it, or raise testResize");
    }
}

/// What differs in anything that a result depends on by more than rounding. The batch of a validation and the memory order do not.
fn differences(a: &Training, b: &Training) -> Vec<String> {
    let skipped = ["evalBatch", "channelsLast"];
    let json = |t: &Training| serde_json::to_value(t).expect("a recipe has string keys and finite numbers");
    let mut found = Vec::new();
    let (a, b) = (json(a), json(b));
    for (key, value) in b.as_object().into_iter().flatten().filter(|(key, _)| !skipped.contains(&key.as_str())) {
        compare(key, &a[key], value, &mut found);
    }
    found
}

fn compare(path: &str, a: &serde_json::Value, b: &serde_json::Value, found: &mut Vec<String>) {
    match (a, b) {
        (serde_json::Value::Object(x), serde_json::Value::Object(y)) => {
            for (key, value) in y {
                compare(&format!("{path}.{key}"), x.get(key).unwrap_or(&serde_json::Value::Null), value, found);
            }
        }
        _ if a != b => found.push(match a {
            serde_json::Value::Null => format!("{path} {b}"),
            _ => format!("{path} {b} instead of {a}"),
        }),
        _ => {}
    }
}
