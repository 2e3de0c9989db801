//! Files are written, refused and recomputed.
#![allow(clippy::unwrap_used)]

use mixbench_crds::recipe::Recipe;
use safetensors::SafeTensors;

use super::*;
use crate::data::order::{Order, micro_indices};

fn options(folder: &Path, method: &str) -> Options {
    Options {
        run: None,
        method: Some(method.to_owned()),
        param: Vec::new(),
        data: None,
        seed: 7,
        epoch: 1,
        step: 3,
        micro: 0,
        rows: 6,
        out: folder.join("grid.png"),
        save: Some(folder.join("batch.safetensors")),
    }
}

fn f32s(file: &SafeTensors, name: &str) -> Vec<f32> {
    let data = file.tensor(name).unwrap();
    data.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn i64s(file: &SafeTensors, name: &str) -> Vec<usize> {
    let data = file.tensor(name).unwrap();
    let value = |b: &[u8]| usize::try_from(i64::from_le_bytes(b.try_into().unwrap())).unwrap();
    data.data().chunks_exact(8).map(value).collect()
}

#[test]
fn the_file_lets_anyone_recompute_the_mix_of_every_method() {
    for row in methods::METHODS {
        let folder = tempfile::tempdir().unwrap();
        let options = options(folder.path(), &row.card.name);
        run(&options).unwrap();
        let bytes = fs::read(options.save.unwrap()).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let (inputs, mask, mixed, targets) =
            (f32s(&file, "inputs"), f32s(&file, "mask"), f32s(&file, "mixed"), f32s(&file, "targets"));
        let (perm, labels) = (i64s(&file, "perm"), i64s(&file, "labels"));
        let raw = file.tensor("inputs_u8").unwrap();
        assert_eq!(file.tensor("mixed").unwrap().shape(), [6, 3, 28, 28]);
        let lam: Vec<f64> = file
            .tensor("lam")
            .unwrap()
            .data()
            .chunks_exact(8)
            .map(|b| f64::from_le_bytes(b.try_into().unwrap()))
            .collect();
        let plane = 28 * 28;
        for i in 0..6 {
            for at in 0..3 * plane {
                let (own, other) = (inputs[i * 3 * plane + at], inputs[perm[i] * 3 * plane + at]);
                let m = mask[i * plane + at % plane];
                let expected = m * own + (1.0 - m) * other;
                assert!((mixed[i * 3 * plane + at] - expected).abs() < 1e-5, "{} {i} {at}", row.card.name);
                let byte = f64::from(raw.data()[(i * plane + at % plane) * 3 + at / plane]);
                assert!((f64::from(own) - (byte / 255.0 - 0.286) / 0.353).abs() < 1e-5);
            }
            let classes = targets.len() / 6;
            for class in 0..classes {
                let expected = if labels[i] == class { lam[i] } else { 0.0 }
                    + if labels[perm[i]] == class { 1.0 - lam[i] } else { 0.0 };
                assert!((f64::from(targets[i * classes + class]) - expected).abs() < 1e-6);
            }
        }
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(metadata.metadata().as_ref().unwrap()["method"], row.card.name);
        let picture =
            png::Decoder::new(std::io::BufReader::new(fs::File::open(&options.out).unwrap())).read_info().unwrap();
        assert!(picture.info().width > 400 && picture.info().height > 600);
    }
}

#[test]
fn the_same_address_gives_the_same_picture() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for folder in [&a, &b] {
        run(&options(folder.path(), "cutmix")).unwrap();
    }
    let read = |folder: &tempfile::TempDir| fs::read(folder.path().join("grid.png")).unwrap();
    assert_eq!(read(&a), read(&b));
}

#[test]
fn what_is_refused_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |change: &dyn Fn(&mut Options)| {
        let mut options = options(folder.path(), "mixup");
        change(&mut options);
        let error = run(&options).unwrap_err();
        (error.exit(), error.to_string())
    };
    let (exit, text) = refused(&|o| o.param = vec!["alpha".into()]);
    assert_eq!((exit, text.as_str()), (Exit::Config, "`--param alpha` is not NAME=VALUE, such as alpha=1.0"));
    assert_eq!(refused(&|o| o.param = vec!["alpha=0".into()]).0, Exit::Config);
    assert_eq!(refused(&|o| o.method = None).0, Exit::Config);
    assert_eq!(refused(&|o| o.rows = 0).0, Exit::Config);
    assert_eq!(refused(&|o| o.data = Some("imagefolder:nowhere".into())).0, Exit::Data);
    assert_eq!(refused(&|o| o.run = Some("no-such-run.json".into())).0, Exit::Config);
    let (exit, text) = refused(&|o| o.out = folder.path().join("missing/grid.png"));
    assert_eq!(exit, Exit::CannotCreate);
    assert!(text.contains("missing/grid.png"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// A run of the quickstart recipe over the built-in images.
fn run_document(folder: &Path) -> PathBuf {
    let method = methods::resolve("cutmix", &[]).unwrap();
    let card = DATASETS.iter().find(|card| card.name == "fashion-mnist-2k").unwrap();
    let spec = run::RunSpec {
        backbone: run::Backbone { name: "resnet20".into() },
        method,
        data: run::Data { name: card.name.to_string(), sha256: None, mean: card.mean, std: card.std },
        training: Recipe::find("quickstart").unwrap().training.clone(),
        world: run::World { nodes: 1, gpus_per_node: 0, processes_per_node: 1, threads_per_process: 1 },
        seed: 11,
        load_checkpoint: None,
    };
    let place = run::Place { data_uri: DEFAULT_DATA.into(), ..run::Place::default() };
    let document = Run {
        version: run::RUN_VERSION,
        id: spec.id(0),
        trial: 0,
        recipe: "quickstart".into(),
        spec,
        attempt: 1,
        nonce: String::new(),
        place,
    };
    let path = folder.join("run.json");
    fs::write(&path, serde_json::to_string(&document).unwrap()).unwrap();
    path
}

#[test]
fn a_run_shows_the_batch_that_training_sees() {
    let folder = tempfile::tempdir().unwrap();
    let options =
        Options { run: Some(run_document(folder.path())), method: None, micro: 1, ..options(folder.path(), "") };
    run(&options).unwrap();
    let bytes = fs::read(options.save.as_ref().unwrap()).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let order = Order::new(11, 1, 2000);
    assert_eq!(i64s(&file, "indices"), micro_indices(&order, 3, 32, 1, 16));
    let outside = run(&Options { micro: 2, ..options }).unwrap_err();
    assert_eq!(outside.to_string(), "micro-batch 2 of a step that has 2; they count from 0");
}
