#include "load.h"

#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <dlfcn.h>
#include <malloc.h>
#include <sys/mman.h>
#include <torch/headeronly/version.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace bridge {
namespace {

const Plugin* loaded = nullptr;

std::string beside_libtorch_cpu(const char* name) {
  Dl_info info{};
  // Any function of libtorch_cpu.so tells which file of that name is in use.
  TORCH_CHECK(dladdr(reinterpret_cast<void*>(&at::globalContext), &info) && info.dli_fname,
              "libtorch_cpu.so is not a shared library of this process");
  std::string path(info.dli_fname);
  return path.substr(0, path.rfind('/') + 1) + name;
}

struct File {
  int fd;
  ~File() {
    if (fd >= 0) close(fd);
  }
};

}  // namespace

bool load_cuda() {
  const std::string path = beside_libtorch_cpu("libtorch_cuda.so");
  if (access(path.c_str(), F_OK) != 0) return false;
  if (!dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL)) {
    const char* why = dlerror();
    TORCH_CHECK(false, path, " is there but does not load: ", why ? why : "no reason given");
  }
  // libtorch looks for CUDA's hooks once. If it did so before the library was there, this process never sees a device.
  TORCH_CHECK(at::detail::getCUDAHooks().compiledWithCuDNN(),
              "libtorch looked for CUDA before it was loaded: call init before anything else of libtorch");
  return true;
}

void load_plugin(rust::Slice<const uint8_t> bytes) {
  File file{memfd_create("nccl-rs", MFD_CLOEXEC)};
  TORCH_CHECK(file.fd >= 0, "memfd_create: ", std::strerror(errno));
  for (size_t at = 0; at < bytes.size();) {
    const ssize_t n = write(file.fd, bytes.data() + at, bytes.size() - at);
    TORCH_CHECK(n > 0, "write to a memfd: ", std::strerror(errno));
    at += static_cast<size_t>(n);
  }
  const std::string path = "/proc/self/fd/" + std::to_string(file.fd);
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    const char* why = dlerror();
    TORCH_CHECK(false, "the NCCL part does not fit the CUDA libraries found: ", why ? why : "no reason given");
  }
  using Entry = const Plugin* (*)();
  auto entry = reinterpret_cast<Entry>(dlsym(handle, "nccl_rs_plugin"));
  TORCH_CHECK(entry, "the NCCL part has no entry point");
  loaded = entry();
}

const Plugin& plugin() {
  TORCH_CHECK(loaded, "no CUDA in this process: libtorch_cuda.so does not lie beside libtorch_cpu.so");
  return *loaded;
}

rust::String torch_version() { return TORCH_VERSION; }

int64_t cudnn_version() {
  const auto& hooks = at::detail::getCUDAHooks();
  return hooks.compiledWithCuDNN() ? hooks.versionCuDNN() : 0;
}

rust::String nccl_version() { return loaded ? loaded->nccl_version() : std::string(); }

bool tune_malloc() {
  // glibc allows no higher limit than 32 MiB for what it takes from the heap; what lies above is mapped afresh each time.
  constexpr int mmap_limit = 32 << 20;
  constexpr int keep = 1 << 30;
  return mallopt(M_MMAP_THRESHOLD, mmap_limit) == 1 && mallopt(M_TRIM_THRESHOLD, keep) == 1;
}

void set_cudnn_benchmark(bool on) { at::globalContext().setBenchmarkCuDNN(on); }

void set_cudnn_deterministic(bool on) { at::globalContext().setDeterministicCuDNN(on); }

void set_tf32(bool on) {
  at::globalContext().setAllowTF32CuDNN(on);
  at::globalContext().setAllowTF32CuBLAS(on);
}

void set_deterministic_algorithms(bool on) {
  at::globalContext().setDeterministicAlgorithms(on, /*warn_only=*/false);
  // Filling fresh memory with NaN guards against reading it; it costs a pass over every allocation.
  at::globalContext().setDeterministicFillUninitializedMemory(false);
}

std::unique_ptr<Graph> graph_new() { return plugin().make_graph(); }
void graph_begin(Graph& graph) { graph.begin(); }
void graph_end(Graph& graph) { graph.end(); }
void graph_replay(Graph& graph) { graph.replay(); }

}  // namespace bridge
