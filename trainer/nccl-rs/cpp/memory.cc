#include "memory.h"

#include <ATen/Functions.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>

#include "nccl-rs/src/ffi.rs.h"

namespace bridge {
namespace {

at::DeviceType device_type(bool cuda) { return cuda ? at::kCUDA : at::kCPU; }

}  // namespace

std::unique_ptr<TensorList> list_with_capacity(size_t n) {
  auto list = std::make_unique<TensorList>();
  list->items.reserve(n);
  return list;
}

void list_push(TensorList& list, const Tensor& tensor) { list.items.push_back(tensor); }

void to_channels_last(Tensor& tensor) {
  TORCH_CHECK(tensor.dim() == 4, "channels_last needs 4 dimensions (N, C, H, W), this tensor has sizes ", tensor.sizes());
  at::NoGradGuard no_grad;
  // The variable stays the same object, as Module.to(memory_format=...) leaves it: optimizers and stores keep their reference.
  tensor.set_data(tensor.contiguous(at::MemoryFormat::ChannelsLast));
}

bool is_channels_last(const Tensor& tensor) {
  return tensor.dim() == 4 && tensor.is_contiguous(at::MemoryFormat::ChannelsLast);
}

std::unique_ptr<Tensor> pinned_empty(rust::Slice<const int64_t> sizes, bool bytes) {
  const auto options = at::TensorOptions().dtype(bytes ? at::kByte : at::kFloat).pinned_memory(true);
  return std::make_unique<Tensor>(at::empty(at::IntArrayRef(sizes.data(), sizes.size()), options));
}

bool is_pinned(const Tensor& tensor) { return tensor.is_pinned(); }

std::unique_ptr<Tensor> pin_memory(const Tensor& tensor) { return std::make_unique<Tensor>(tensor.pin_memory()); }

void copy_non_blocking(Tensor& to, const Tensor& from) {
  at::NoGradGuard no_grad;
  to.copy_(from, /*non_blocking=*/true);
}

bool autocast_enabled(bool cuda) { return at::autocast::is_autocast_enabled(device_type(cuda)); }

Half autocast_dtype(bool cuda) {
  return at::autocast::get_autocast_dtype(device_type(cuda)) == at::kHalf ? Half::F16 : Half::Bf16;
}

void autocast_set(bool cuda, bool on, Half dtype) {
  at::autocast::set_autocast_enabled(device_type(cuda), on);
  at::autocast::set_autocast_dtype(device_type(cuda), dtype == Half::F16 ? at::kHalf : at::kBFloat16);
}

void autocast_enter() { at::autocast::increment_nesting(); }

void autocast_exit() {
  // Weights are cast once per outermost region; kept longer, the copies would outlive the optimizer's next step.
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
}

}  // namespace bridge
