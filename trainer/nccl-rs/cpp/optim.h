// Optimizer steps and list operations that tch does not wrap.
#pragma once
#include <memory>

#include "tensor.h"

namespace bridge {

struct SgdStep;    // defined by cxx
struct AdamWStep;  // defined by cxx

void fused_sgd(const TensorList& params, const TensorList& grads, const TensorList& momentum_buffers, const SgdStep& step);
void fused_adamw(const TensorList& params, const TensorList& grads, const TensorList& exp_avgs, const TensorList& exp_avg_sqs,
                 const AdamWStep& step);
void foreach_zero(const TensorList& tensors);
void foreach_mul(const TensorList& tensors, double factor);
void foreach_lerp(const TensorList& tensors, const TensorList& ends, double weight);
std::unique_ptr<Tensor> clip_grad_norm(const TensorList& grads, double max_norm);

}  // namespace bridge
