// The table by which the bridge reaches what needs CUDA's headers (nccl.cc). That file is a shared object of its own, carried
// inside the binary and loaded after libtorch_cuda.
#pragma once
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include <chrono>
#include <memory>
#include <string>

namespace bridge {

struct Graph {
  virtual ~Graph() = default;
  virtual void begin() = 0;
  virtual void end() = 0;
  virtual void replay() = 0;
};

struct Plugin {
  std::string (*nccl_version)();
  c10::intrusive_ptr<c10d::Backend> (*make_nccl)(c10::intrusive_ptr<c10d::Store> store, int rank, int size,
                                                 std::chrono::milliseconds timeout);
  std::unique_ptr<Graph> (*make_graph)();
};

// Throws where no CUDA was loaded.
const Plugin& plugin();

}  // namespace bridge
