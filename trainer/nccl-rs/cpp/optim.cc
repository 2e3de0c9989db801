#include "optim.h"

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>

#include "nccl-rs/src/ffi.rs.h"

namespace bridge {
namespace {

// The fused CPU kernels walk the memory of both tensors in parallel and never look at strides. Strides of a dimension of size
// one say nothing about memory.
bool same_layout(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes() || !a.is_non_overlapping_and_dense()) return false;
  for (int64_t d = 0; d < a.dim(); ++d) {
    if (a.size(d) > 1 && a.stride(d) != b.stride(d)) return false;
  }
  return true;
}

void check_layouts(const TensorList& params, const TensorList& others, const char* what) {
  TORCH_CHECK(params.items.size() == others.items.size(), params.items.size(), " parameters but ", others.items.size(), " ", what);
  for (size_t i = 0; i < params.items.size(); ++i) {
    const auto &p = params.items[i], &o = others.items[i];
    TORCH_CHECK(o.defined() && same_layout(p, o), "parameter ", i, " has sizes ", p.sizes(), " and strides ", p.strides(),
                ", its entry in ", what, o.defined() ? " is laid out otherwise" : " is undefined");
  }
}

}  // namespace

void fused_sgd(const TensorList& params, const TensorList& grads, const TensorList& momentum_buffers, const SgdStep& step) {
  if (params.items.empty()) return;
  at::NoGradGuard no_grad;
  check_layouts(params, grads, "gradients");
  if (step.momentum != 0.0) check_layouts(params, momentum_buffers, "momentum buffers");
  const std::vector<at::Tensor> none;
  at::_fused_sgd_(params.items, grads.items, step.momentum == 0.0 ? none : momentum_buffers.items, step.weight_decay,
                  step.momentum, step.lr, /*dampening=*/0.0, step.nesterov, /*maximize=*/false, step.first);
}

void fused_adamw(const TensorList& params, const TensorList& grads, const TensorList& exp_avgs, const TensorList& exp_avg_sqs,
                 const AdamWStep& step) {
  if (params.items.empty()) return;
  at::NoGradGuard no_grad;
  check_layouts(params, grads, "gradients");
  check_layouts(params, exp_avgs, "first moments");
  check_layouts(params, exp_avg_sqs, "second moments");
  // The kernel wants one count per parameter on the parameter's device; all are the same, so one tensor serves all.
  const auto options = params.items.front().options().dtype(at::kFloat).requires_grad(false);
  const std::vector<at::Tensor> steps(params.items.size(), at::full({}, static_cast<double>(step.step), options));
  at::_fused_adamw_(params.items, grads.items, exp_avgs.items, exp_avg_sqs.items, /*max_exp_avg_sqs=*/{}, steps, step.lr,
                    step.beta1, step.beta2, step.weight_decay, step.eps, /*amsgrad=*/false, /*maximize=*/false);
}

void foreach_zero(const TensorList& tensors) {
  if (tensors.items.empty()) return;
  at::NoGradGuard no_grad;
  at::_foreach_zero_(tensors.items);
}

void foreach_mul(const TensorList& tensors, double factor) {
  if (tensors.items.empty()) return;
  at::NoGradGuard no_grad;
  at::_foreach_mul_(tensors.items, at::Scalar(factor));
}

void foreach_lerp(const TensorList& tensors, const TensorList& ends, double weight) {
  TORCH_CHECK(tensors.items.size() == ends.items.size(), tensors.items.size(), " tensors but ", ends.items.size(), " ends");
  if (tensors.items.empty()) return;
  at::NoGradGuard no_grad;
  at::_foreach_lerp_(tensors.items, ends.items, at::Scalar(weight));
}

std::unique_ptr<Tensor> clip_grad_norm(const TensorList& grads, double max_norm) {
  TORCH_CHECK(!grads.items.empty(), "the norm of no gradients");
  at::NoGradGuard no_grad;
  at::Tensor norm = at::stack(at::_foreach_norm(grads.items, 2)).norm(2);
  // No test on the host: a factor of one where nothing is to be clipped keeps the device running.
  at::_foreach_mul_(grads.items, at::clamp_max(max_norm / (norm + 1e-6), 1.0));
  return std::make_unique<Tensor>(std::move(norm));
}

}  // namespace bridge
