// CUDA brought into a process that is linked to the CPU library only, and process-wide settings.
#pragma once
#include <memory>

#include "plugin.h"
#include "tensor.h"

namespace bridge {

bool load_cuda();
void load_plugin(rust::Slice<const uint8_t> bytes);

rust::String torch_version();
int64_t cudnn_version();
rust::String nccl_version();

bool tune_malloc();
void set_cudnn_benchmark(bool on);
void set_cudnn_deterministic(bool on);
void set_tf32(bool on);
void set_deterministic_algorithms(bool on);

std::unique_ptr<Graph> graph_new();
void graph_begin(Graph& graph);
void graph_end(Graph& graph);
void graph_replay(Graph& graph);

}  // namespace bridge
