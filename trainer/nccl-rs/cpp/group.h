// Rendezvous and process groups.
#pragma once
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include <memory>

#include "tensor.h"

namespace bridge {

enum class Reduce : uint8_t;  // defined by cxx

struct Store {
  c10::intrusive_ptr<c10d::Store> store;
};

struct Group {
  c10::intrusive_ptr<c10d::ProcessGroup> pg;
};

// `fd`: a listening socket that the server takes over, or -1 for a client.
std::unique_ptr<Store> store_new(rust::Str host, uint16_t port, int32_t fd, int32_t world_size, int64_t timeout_ms);
int64_t store_add(const Store& store, rust::Str key, int64_t n);
void store_set(const Store& store, rust::Str key, rust::Slice<const uint8_t> value);
rust::Vec<uint8_t> store_get(const Store& store, rust::Str key);

// A group that serves CPU tensors over gloo, and CUDA tensors where the process has CUDA. `address`: a host or an interface.
std::unique_ptr<Group> group_gloo(const Store& store, rust::Str prefix, int32_t rank, int32_t size, int64_t timeout_ms,
                                  rust::Str address, bool is_interface);
// Gives CUDA tensors of a gloo group to NCCL.
void group_add_nccl(const Group& group, const Store& store, rust::Str prefix, int32_t device, int64_t timeout_ms);

void all_reduce(const Group& group, Tensor& tensor, Reduce op);
void broadcast(const Group& group, Tensor& tensor, int32_t root);
std::unique_ptr<Tensor> all_gather(const Group& group, const Tensor& tensor);
void barrier(const Group& group);

}  // namespace bridge
