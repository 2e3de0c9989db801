//! Stochastic gradient descent with momentum, as `torch.optim.SGD` without dampening, in one fused call for each group.

use mixbench_crds::training::Optimizer;
use nccl_rs::Error;
use tch::Tensor;

/// Why a step or a state was refused.
#[derive(Debug, thiserror::Error)]
pub enum OptimError {
    /// A saved state is of another network.
    #[error("the optimizer state does not fit: {0}; it is of another backbone or class count")]
    State(String),
    /// libtorch refused.
    #[error(transparent)]
    Torch(#[from] Error),
}

/// Parameters with one weight decay.
#[derive(Debug, Default)]
struct Group {
    weight_decay: f64,
    params: Vec<Tensor>,
    buffers: Vec<Tensor>,
}

/// The optimizer of a run.
#[derive(Debug)]
pub struct Sgd {
    momentum: f64,
    nesterov: bool,
    /// The buffers are not set yet: the next step sets them to the gradient.
    first: bool,
    groups: [Group; 2],
    /// Name, group and place of each parameter, in the order given.
    places: Vec<(String, usize, usize)>,
}

impl Sgd {
    /// An optimizer of `params`, whose memory format must be final. Unless `decay_norm_and_bias`, parameters of one dimension (norms and
    /// biases) do not decay.
    pub fn new(optimizer: &Optimizer, params: &[(String, Tensor)]) -> Self {
        let Optimizer::Sgd { momentum, nesterov, weight_decay, decay_norm_and_bias } = *optimizer;
        let mut groups = [Group { weight_decay, ..Group::default() }, Group::default()];
        let mut places = Vec::with_capacity(params.len());
        for (name, param) in params {
            let which = usize::from(param.dim() <= 1 && !decay_norm_and_bias);
            let group = &mut groups[which];
            places.push((name.clone(), which, group.params.len()));
            group.params.push(param.shallow_clone());
            if momentum != 0.0 {
                group.buffers.push(tch::no_grad(|| param.zeros_like()));
            }
        }
        Self { momentum, nesterov, first: true, groups, places }
    }

    /// Moves the parameters against their gradients at learning rate `lr`.
    ///
    /// # Errors
    /// [`OptimError::Torch`] if a parameter has no gradient, or one laid out otherwise than itself.
    pub fn step(&mut self, lr: f64) -> Result<(), OptimError> {
        for group in self.groups.iter().filter(|g| !g.params.is_empty()) {
            let step = nccl_rs::Sgd {
                lr,
                momentum: self.momentum,
                weight_decay: group.weight_decay,
                nesterov: self.nesterov,
                first_step: self.first,
            };
            // Asked for anew in each step: the reducer replaces gradients by views into its buckets.
            let grads: Vec<Tensor> = group.params.iter().map(Tensor::grad).collect();
            nccl_rs::fused_sgd_(&group.params, &grads, &group.buffers, &step)?;
        }
        self.first = false;
        Ok(())
    }

    /// Sets all gradients that there are to zero, in place.
    ///
    /// # Errors
    /// [`OptimError::Torch`] if libtorch refuses.
    pub fn zero_grad(&self) -> Result<(), OptimError> {
        let params: Vec<&Tensor> = self.groups.iter().flat_map(|g| &g.params).collect();
        Ok(nccl_rs::zero_grads(&params)?)
    }

    /// What a checkpoint must hold beside the weights: momentum buffers under their parameters' names, in the order of the parameters. Empty
    /// before the first step and without momentum. The tensors share memory with the optimizer.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        if self.first || self.momentum == 0.0 {
            return Vec::new();
        }
        let buffer =
            |(name, group, i): &(String, usize, usize)| (name.clone(), self.groups[*group].buffers[*i].shallow_clone());
        self.places.iter().map(buffer).collect()
    }

    /// Goes on from a saved [`state`](Self::state); an empty one means that no step was taken.
    ///
    /// # Errors
    /// [`OptimError::State`] if names or shapes are not those of the parameters; nothing is changed then.
    pub fn load_state(&mut self, state: &[(String, Tensor)]) -> Result<(), OptimError> {
        if state.is_empty() {
            self.first = true;
            return Ok(());
        }
        let refuse = |why: String| Err(OptimError::State(why));
        if self.momentum == 0.0 {
            return refuse(format!("{} momentum buffers for an optimizer without momentum", state.len()));
        }
        if state.len() != self.places.len() {
            return refuse(format!("{} momentum buffers for {} parameters", state.len(), self.places.len()));
        }
        let mut pairs = Vec::with_capacity(state.len());
        for (name, group, i) in &self.places {
            let own = &self.groups[*group].buffers[*i];
            let Some((_, saved)) = state.iter().find(|(n, _)| n == name) else {
                return refuse(format!("no momentum buffer for `{name}`"));
            };
            if saved.size() != own.size() {
                return refuse(format!("the momentum buffer of `{name}` is {:?}, not {:?}", saved.size(), own.size()));
            }
            pairs.push((own.shallow_clone(), saved));
        }
        tch::no_grad(|| pairs.iter_mut().for_each(|(own, saved)| own.copy_(saved)));
        self.first = false;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::backbones::golden::values;
    use serde::Deserialize;
    use tch::Kind;

    #[derive(Deserialize)]
    struct Golden {
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Case {
        momentum: f64,
        nesterov: bool,
        weight_decay: f64,
        decay_norm_and_bias: bool,
        steps: Vec<Step>,
    }

    #[derive(Deserialize)]
    struct Step {
        lr: f64,
        weight: Vec<f64>,
        bias: Vec<f64>,
    }

    fn cases() -> Vec<Case> {
        serde_json::from_str::<Golden>(include_str!("../../tests/golden/sgd.json")).unwrap().cases
    }

    impl Case {
        fn optimizer(&self) -> Optimizer {
            let &Self { momentum, nesterov, weight_decay, decay_norm_and_bias, .. } = self;
            Optimizer::Sgd { momentum, nesterov, weight_decay, decay_norm_and_bias }
        }
    }

    fn params() -> Vec<(String, Tensor)> {
        let leaf = |name: &str, shape: &[i64]| (name.to_owned(), values(name, shape).set_requires_grad(true));
        vec![leaf("weight", &[3, 4]), leaf("bias", &[3])]
    }

    /// A gradient of (p − target) · 1.5, as the script has it.
    fn backward(sgd: &Sgd, params: &[(String, Tensor)]) {
        sgd.zero_grad().unwrap();
        for (name, param) in params {
            let target = values(&format!("{name}.target"), &param.size());
            ((param - target).square() * 0.75).sum(Kind::Double).backward();
        }
    }

    fn flat(tensor: &Tensor) -> Vec<f64> {
        Vec::try_from(tensor.detach().reshape([-1])).unwrap()
    }

    #[test]
    fn steps_are_those_of_torch() {
        for case in cases() {
            let params = params();
            let mut sgd = Sgd::new(&case.optimizer(), &params);
            for step in &case.steps {
                backward(&sgd, &params);
                sgd.step(step.lr).unwrap();
                for (got, expected) in [(&params[0].1, &step.weight), (&params[1].1, &step.bias)] {
                    let error = flat(got).iter().zip(expected).fold(0.0_f64, |m, (g, e)| m.max((g - e).abs()));
                    assert!(error < 1e-14, "{:?}, lr {}: {error:e}", case.optimizer(), step.lr);
                }
            }
        }
    }

    #[test]
    fn a_loaded_state_goes_on_to_the_bit() {
        for case in cases() {
            for cut in 0..3 {
                let (through, resumed) = (params(), params());
                let mut a = Sgd::new(&case.optimizer(), &through);
                for step in &case.steps[..cut] {
                    backward(&a, &through);
                    a.step(step.lr).unwrap();
                }
                for ((_, from), (_, to)) in through.iter().zip(&resumed) {
                    tch::no_grad(|| to.shallow_clone().copy_(from));
                }
                let mut b = Sgd::new(&case.optimizer(), &resumed);
                let saved: Vec<_> = a.state().into_iter().rev().map(|(name, tensor)| (name, tensor.copy())).collect();
                b.load_state(&saved).unwrap();
                for step in &case.steps[cut..] {
                    for (sgd, params) in [(&mut a, &through), (&mut b, &resumed)] {
                        backward(sgd, params);
                        sgd.step(step.lr).unwrap();
                    }
                }
                assert!(
                    through.iter().zip(&resumed).all(|(a, b)| a.1.equal(&b.1)),
                    "{:?} cut at {cut}",
                    case.optimizer()
                );
            }
        }
    }

    #[test]
    fn a_state_of_another_network_is_refused() {
        let params = params();
        let mut sgd = Sgd::new(&cases()[0].optimizer(), &params);
        let mut refusal = |state: &[(&str, &[i64])]| {
            let state: Vec<_> = state.iter().map(|(n, s)| ((*n).to_owned(), values("x", s))).collect();
            sgd.load_state(&state).unwrap_err().to_string()
        };
        assert!(refusal(&[("weight", &[3, 4])]).contains("1 momentum buffers for 2 parameters"));
        assert!(refusal(&[("weight", &[3, 4]), ("b", &[3])]).contains("no momentum buffer for `bias`"));
        assert!(refusal(&[("weight", &[3, 5]), ("bias", &[3])]).contains("is [3, 5], not [3, 4]"));
        let plain = Optimizer::Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0, decay_norm_and_bias: true };
        let error = Sgd::new(&plain, &params).load_state(&[("weight".into(), values("x", &[3, 4]))]).unwrap_err();
        assert!(error.to_string().contains("without momentum"));
    }

    #[test]
    fn a_parameter_without_gradient_is_an_error() {
        let params = params();
        assert!(matches!(Sgd::new(&cases()[0].optimizer(), &params).step(0.1), Err(OptimError::Torch(_))));
    }
}
