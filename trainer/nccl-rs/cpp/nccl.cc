// The plugin: everything that is compiled against CUDA's headers. Nothing of CUDA is linked; the symbols come from the
// libtorch_cuda that is in the process when this is loaded.
#include <ATen/cuda/CUDAGraph.h>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include "plugin.h"

namespace bridge {
namespace {

struct CudaGraph final : Graph {
  at::cuda::CUDAGraph graph;
  void begin() override { graph.capture_begin(); }
  void end() override { graph.capture_end(); }
  void replay() override { graph.replay(); }
};

std::string nccl_version() { return c10d::getNcclVersion(); }

c10::intrusive_ptr<c10d::Backend> make_nccl(c10::intrusive_ptr<c10d::Store> store, int rank, int size,
                                            std::chrono::milliseconds timeout) {
  // High priority: a bucket's all-reduce must not queue behind the rest of the backward pass.
  auto options = c10d::ProcessGroupNCCL::Options::create(/*is_high_priority_stream=*/true);
  options->timeout = timeout;
  return c10::make_intrusive<c10d::ProcessGroupNCCL>(std::move(store), rank, size, options);
}

std::unique_ptr<Graph> make_graph() { return std::make_unique<CudaGraph>(); }

constexpr Plugin table{nccl_version, make_nccl, make_graph};

}  // namespace
}  // namespace bridge

extern "C" const bridge::Plugin* nccl_rs_plugin() { return &bridge::table; }
