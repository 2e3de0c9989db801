//! Data parallelism is arithmetic: two processes are one with a double batch.

use mixbench_crds::training::Precision;
use tch::Tensor;

use super::*;
use crate::backbones::Net;
use crate::data::loader::HostBatch;
use crate::methods::{DrawKey, Drawn, Mix, Mixed, Scope};

/// A network whose norms do not learn statistics from the batch.
#[derive(Debug)]
struct Frozen(Box<dyn Net>);

impl Net for Frozen {
    fn stages(&self) -> &'static [&'static str] {
        self.0.stages()
    }

    fn stage(&self, index: usize, x: &Tensor, _train: bool) -> Tensor {
        self.0.stage(index, x, false)
    }
}

/// A method that draws for each half of a batch what it would draw for that half alone.
struct Halves(Arc<dyn Mix>);

impl Mix for Halves {
    fn scope(&self) -> Scope {
        self.0.scope()
    }

    fn draw(&self, key: &DrawKey, batch: &HostBatch) -> Drawn {
        let mut half = HostBatch::default();
        (half.n, half.h, half.w, half.c) = (batch.n / 2, batch.h, batch.w, batch.c);
        let mut drawn = self.0.draw(key, &half);
        let n = i64::try_from(half.n).unwrap();
        drawn.perm = drawn.perm.iter().copied().chain(drawn.perm.iter().map(|i| i + n)).collect();
        drawn.lam = drawn.lam.repeat(2);
        drawn
    }

    fn apply(&self, x: &Tensor, y: &Tensor, drawn: &Drawn) -> Mixed {
        self.0.apply(x, y, drawn)
    }
}

#[test]
fn two_processes_are_one_process_with_a_double_batch_where_norms_do_not_learn() {
    for method in ["vanilla", "mixup", "cutmix"] {
        let weights = |processes: u32, micro: u32| {
            let (folder, run) = setup(method, processes, |spec| {
                spec.training.micro_batch = micro;
                spec.training.precision = Precision::F64;
                spec.training.schedule.warmup_epochs = 0;
            });
            let (_, mut found) = on_ranks(&run, folder.path(), &Options::default(), |ctx| {
                let mut engine = Engine::new(ctx).unwrap();
                if processes == 1 {
                    engine.method = Arc::new(Halves(Arc::clone(&engine.method)));
                }
                let placeholder: Box<dyn Net> = Box::new(Nothing);
                engine.model.net = Box::new(Frozen(std::mem::replace(&mut engine.model.net, placeholder)));
                let mut progress = Progress::default();
                assert_eq!(engine.train_epoch(&mut progress, |_| Ok(())).unwrap(), Ended::Whole);
                assert_eq!(progress.optimizer_steps, 5);
                engine.model.params.iter().map(|(name, p)| (name.clone(), p.detach().copy())).collect::<Vec<_>>()
            });
            found.remove(0)
        };
        let (two, one) = (weights(2, 6), weights(1, 12));
        for ((name, a), (_, b)) in two.iter().zip(&one) {
            let apart = (a - b).abs().max().double_value(&[]);
            assert!(apart <= 1e-12, "{method}: {name} is {apart:e} apart");
        }
    }
}

/// Stands where a network was taken out.
#[derive(Debug)]
struct Nothing;

impl Net for Nothing {
    fn stages(&self) -> &'static [&'static str] {
        &[]
    }

    fn stage(&self, _index: usize, x: &Tensor, _train: bool) -> Tensor {
        x.shallow_clone()
    }
}
