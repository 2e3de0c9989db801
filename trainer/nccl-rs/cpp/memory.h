// Memory formats, pinned memory, copies, autocast.
#pragma once
#include <memory>

#include "tensor.h"

namespace bridge {

enum class Half : uint8_t;  // defined by cxx

void to_channels_last(Tensor& tensor);
bool is_channels_last(const Tensor& tensor);
std::unique_ptr<Tensor> pinned_empty(rust::Slice<const int64_t> sizes, bool bytes);
bool is_pinned(const Tensor& tensor);
std::unique_ptr<Tensor> pin_memory(const Tensor& tensor);
void copy_non_blocking(Tensor& to, const Tensor& from);

bool autocast_enabled(bool cuda);
Half autocast_dtype(bool cuda);
void autocast_set(bool cuda, bool on, Half dtype);
void autocast_enter();
void autocast_exit();

}  // namespace bridge
