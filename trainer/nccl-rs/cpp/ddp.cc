#include "ddp.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <numeric>

namespace bridge {

std::unique_ptr<Ddp> ddp_new(const Group& group, const TensorList& params, size_t bucket_bytes) {
  const auto& tensors = params.items;
  TORCH_CHECK(!tensors.empty(), "data parallelism over no parameters");
  c10d::verify_params_across_processes(group.pg, tensors, std::nullopt);
  for (const auto& param : tensors) {
    at::Tensor value = param.detach();
    broadcast(group, value, 0);
  }

  // Gradients arrive roughly in the reverse order of the parameters. A small first bucket starts the communication early.
  const std::vector<at::Tensor> reversed(tensors.rbegin(), tensors.rend());
  std::vector<int64_t> indices(tensors.size());
  std::iota(indices.rbegin(), indices.rend(), 0);
  const size_t first = std::min(bucket_bytes, static_cast<size_t>(c10d::kDefaultFirstBucketBytes));
  auto [buckets, limits] = c10d::compute_bucket_assignment_by_size(reversed, {first, bucket_bytes}, {}, indices);

  auto ddp = std::make_unique<Ddp>();
  ddp->reducer = std::make_shared<FixedReducer>(
      tensors, std::move(buckets), group.pg, std::vector<bool>(tensors.size(), false), static_cast<int64_t>(bucket_bytes),
      /*find_unused_parameters=*/false, /*gradient_as_bucket_view=*/true, std::unordered_map<size_t, std::string>{},
      static_cast<int64_t>(first), /*skip_all_reduce_unused_params=*/false, /*use_python_reducer=*/false,
      std::vector<int64_t>{});
  return ddp;
}

void ddp_prepare_forward(const Ddp& ddp) {
  ddp.reducer->check_finalized();
  ddp.reducer->prepare_for_forward();
}

void ddp_prepare_backward(const Ddp& ddp) { ddp.reducer->prepare_for_backward({}); }

rust::Vec<size_t> ddp_bucket_sizes(const Ddp& ddp) {
  rust::Vec<size_t> sizes;
  for (auto& bucket : ddp.reducer->get_grad_buckets(/*return_zero_tensors=*/false)) {
    sizes.push_back(static_cast<size_t>(bucket.getBufferRef().numel()));
  }
  return sizes;
}

}  // namespace bridge
