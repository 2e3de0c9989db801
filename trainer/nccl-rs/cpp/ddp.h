// Data parallelism with libtorch's own engine, c10d::Reducer.
#pragma once
#include <torch/csrc/distributed/c10d/reducer.hpp>

#include <memory>

#include "group.h"
#include "tensor.h"

namespace bridge {

// A Reducer that does every step in the same way, so that a resumed run sums as the undisturbed one would have.
//
// * The buckets stay as they were laid out. The base class lays them out again after the first backward pass, in the order in
//   which gradients arrived; another bucket means another order of summation.
// * Gradients live in the buckets from the start. The base class copies the first ones in and multiplies them by 1/n, all later
//   ones it divides by n in place, which from three ranks on is not the same number.
class FixedReducer final : public c10d::Reducer {
 public:
  template <typename... Args>
  explicit FixedReducer(Args&&... args) : Reducer(std::forward<Args>(args)...) {
    has_rebuilt_bucket_ = true;
    for (auto& bucket : buckets_) {
      bucket.gradients.zero_();
      for (size_t i = 0; i < bucket.variables.size(); ++i) bucket.variables[i].mutable_grad() = bucket.bucket_views_in[i];
    }
  }
};

struct Ddp {
  std::shared_ptr<FixedReducer> reducer;
};

std::unique_ptr<Ddp> ddp_new(const Group& group, const TensorList& params, size_t bucket_bytes);
void ddp_prepare_forward(const Ddp& ddp);
void ddp_prepare_backward(const Ddp& ddp);
rust::Vec<size_t> ddp_bucket_sizes(const Ddp& ddp);

}  // namespace bridge
