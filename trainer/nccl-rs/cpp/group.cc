#include "group.h"

#include <ATen/DeviceAccelerator.h>
#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <string>

#include "nccl-rs/src/ffi.rs.h"
#include "plugin.h"

namespace bridge {
namespace {

using BackendType = c10d::ProcessGroup::BackendType;

c10d::ReduceOp reduce_op(Reduce op) {
  switch (op) {
    case Reduce::Max:
      return c10d::ReduceOp::MAX;
    case Reduce::Min:
      return c10d::ReduceOp::MIN;
    default:
      return c10d::ReduceOp::SUM;
  }
}

// c10d hands on a pointer and a count: a tensor with gaps or overlaps would have other memory reduced.
void check_dense(const at::Tensor& t) {
  TORCH_CHECK(t.is_non_overlapping_and_dense(), "a collective needs a dense tensor, not a view with strides ", t.strides(),
              " over sizes ", t.sizes());
}

}  // namespace

std::unique_ptr<Store> store_new(rust::Str host, uint16_t port, int32_t fd, int32_t world_size, int64_t timeout_ms) {
  c10d::TCPStoreOptions options;
  options.port = port;
  options.isServer = fd >= 0;
  if (options.isServer) options.masterListenFd = fd;
  options.numWorkers = static_cast<size_t>(world_size);
  options.waitWorkers = false;  // the groups made over the store wait, and notice a wrong world size first
  options.timeout = std::chrono::milliseconds(timeout_ms);
  return std::make_unique<Store>(Store{c10::make_intrusive<c10d::TCPStore>(std::string(host), options)});
}

int64_t store_add(const Store& store, rust::Str key, int64_t n) { return store.store->add(std::string(key), n); }

void store_set(const Store& store, rust::Str key, rust::Slice<const uint8_t> value) {
  store.store->set(std::string(key), std::vector<uint8_t>(value.begin(), value.end()));
}

rust::Vec<uint8_t> store_get(const Store& store, rust::Str key) {
  rust::Vec<uint8_t> out;
  for (uint8_t byte : store.store->get(std::string(key))) out.push_back(byte);
  return out;
}

std::unique_ptr<Group> group_gloo(const Store& store, rust::Str prefix, int32_t rank, int32_t size, int64_t timeout_ms,
                                  rust::Str address, bool is_interface) {
  using Gloo = c10d::ProcessGroupGloo;
  auto options = Gloo::Options::create(std::chrono::milliseconds(timeout_ms));
  const std::string where(address);
  options->devices = {is_interface ? Gloo::createDeviceForInterface(where) : Gloo::createDeviceForHostname(where)};
  auto prefixed = c10::make_intrusive<c10d::PrefixStore>(std::string(prefix) + "/gloo", store.store);
  c10::intrusive_ptr<c10d::Backend> gloo = c10::make_intrusive<Gloo>(prefixed, rank, size, options);

  auto group = std::make_unique<Group>(Group{c10::make_intrusive<c10d::ProcessGroup>(store.store, rank, size)});
  group->pg->setDefaultBackend(BackendType::GLOO);
  group->pg->setBackend(c10::DeviceType::CPU, BackendType::GLOO, gloo);
  if (at::detail::getCUDAHooks().hasCUDA()) group->pg->setBackend(c10::DeviceType::CUDA, BackendType::GLOO, gloo);
  return group;
}

void group_add_nccl(const Group& group, const Store& store, rust::Str prefix, int32_t device, int64_t timeout_ms) {
  const auto& make = plugin().make_nccl;
  const auto index = static_cast<c10::DeviceIndex>(device);
  TORCH_CHECK(index < at::accelerator::deviceCount(), "CUDA device ", device, " is not one of the ",
              static_cast<int>(at::accelerator::deviceCount()), " of this machine");
  // NCCL binds a communicator to the current device of the thread that makes it.
  at::accelerator::setDeviceIndex(index);
  auto prefixed = c10::make_intrusive<c10d::PrefixStore>(std::string(prefix) + "/nccl", store.store);
  auto nccl = make(prefixed, group.pg->getRank(), group.pg->getSize(), std::chrono::milliseconds(timeout_ms));
  group.pg->setDefaultBackend(BackendType::NCCL);
  group.pg->setBackend(c10::DeviceType::CUDA, BackendType::NCCL, nccl);
  group.pg->setBoundDeviceId(c10::Device(c10::kCUDA, index));
}

void all_reduce(const Group& group, Tensor& tensor, Reduce op) {
  check_dense(tensor);
  at::NoGradGuard no_grad;
  std::vector<at::Tensor> tensors{tensor.detach()};
  c10d::AllreduceOptions options;
  options.reduceOp = reduce_op(op);
  group.pg->allreduce(tensors, options)->wait();
  if (op == Reduce::Avg) tensor.detach().div_(group.pg->getSize());
}

void broadcast(const Group& group, Tensor& tensor, int32_t root) {
  check_dense(tensor);
  at::NoGradGuard no_grad;
  std::vector<at::Tensor> tensors{tensor.detach()};
  c10d::BroadcastOptions options;
  options.rootRank = root;
  group.pg->broadcast(tensors, options)->wait();
}

std::unique_ptr<Tensor> all_gather(const Group& group, const Tensor& tensor) {
  at::NoGradGuard no_grad;
  at::Tensor input = tensor.detach().contiguous();
  std::vector<int64_t> sizes = input.sizes().vec();
  sizes.insert(sizes.begin(), group.pg->getSize());
  at::Tensor output = at::empty(sizes, input.options());
  std::vector<std::vector<at::Tensor>> outputs{output.unbind(0)};
  std::vector<at::Tensor> inputs{input};
  group.pg->allgather(outputs, inputs)->wait();
  return std::make_unique<Tensor>(std::move(output));
}

void barrier(const Group& group) {
  c10d::BarrierOptions options;
  options.device = group.pg->getBoundDeviceId();
  group.pg->barrier(options)->wait();
}

}  // namespace bridge
