// What every part of the bridge shares: the tensor types and how a C++ exception becomes a Rust error.
#pragma once
#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <exception>
#include <vector>

#include "rust/cxx.h"

namespace bridge {

using Tensor = at::Tensor;

struct TensorList {
  std::vector<at::Tensor> items;
};

std::unique_ptr<TensorList> list_with_capacity(size_t n);
void list_push(TensorList& list, const Tensor& tensor);

}  // namespace bridge

namespace rust::behavior {

// Found by cxx's generated code in place of its own, which would let a foreign exception end the process and would
// hand on c10's messages with a C++ backtrace.
template <typename Try, typename Fail>
static void trycatch(Try&& func, Fail&& fail) noexcept try {
  func();
} catch (const c10::Error& e) {
  fail(e.what_without_backtrace());
} catch (const std::exception& e) {
  fail(e.what());
} catch (...) {
  fail("an exception of unknown type");
}

}  // namespace rust::behavior
