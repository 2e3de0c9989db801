#include "stream.h"

#include <ATen/DeviceAccelerator.h>
#include <c10/core/DeviceGuard.h>

#include "nccl-rs/src/ffi.rs.h"

namespace bridge {
namespace {

c10::Device at_index(int32_t device) {
  const auto type = at::accelerator::getAccelerator();
  TORCH_CHECK(type.has_value() && at::accelerator::deviceCount() > 0, "this process has no accelerator");
  TORCH_CHECK(device >= 0 && device < at::accelerator::deviceCount(), "device ", device, " is not one of the ",
              static_cast<int>(at::accelerator::deviceCount()), " of this machine");
  return {*type, static_cast<c10::DeviceIndex>(device)};
}

const c10::impl::DeviceGuardImplInterface& impl(c10::Device device) { return *c10::impl::getDeviceGuardImpl(device.type()); }

}  // namespace

int32_t device_count() { return at::accelerator::deviceCount(); }

void set_device(int32_t device) { at::accelerator::setDeviceIndex(at_index(device).index()); }

void synchronize(int32_t device) { at::accelerator::synchronizeDevice(at_index(device).index()); }

MemoryStats memory_stats(int32_t device) {
  const auto index = at_index(device).index();
  const auto stats = at::accelerator::getDeviceStats(index);
  const auto [free_bytes, total_bytes] = at::accelerator::getMemoryInfo(index);
  constexpr auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  return MemoryStats{static_cast<uint64_t>(stats.allocated_bytes[all].current),
                     static_cast<uint64_t>(stats.allocated_bytes[all].peak),
                     static_cast<uint64_t>(stats.reserved_bytes[all].current),
                     static_cast<uint64_t>(free_bytes),
                     static_cast<uint64_t>(total_bytes)};
}

void reset_peak_memory(int32_t device) { at::accelerator::resetPeakStats(at_index(device).index()); }

void empty_cache() {
  at_index(0);
  at::accelerator::emptyCache();
}

std::unique_ptr<Stream> stream_new(int32_t device, bool high_priority) {
  const auto d = at_index(device);
  return std::make_unique<Stream>(Stream{impl(d).getNewStream(d, high_priority ? -1 : 0)});
}

std::unique_ptr<Stream> stream_current(int32_t device) {
  const auto d = at_index(device);
  return std::make_unique<Stream>(Stream{impl(d).getStream(d)});
}

void stream_make_current(const Stream& stream) { at::accelerator::setCurrentStream(stream.stream); }

void stream_wait_event(const Stream& stream, const Event& event) { event.event.block(stream.stream); }

void stream_synchronize(const Stream& stream) { stream.stream.synchronize(); }

void stream_keep(const Stream& stream, const Tensor& tensor) { tensor.record_stream(stream.stream); }

std::unique_ptr<Event> event_record(const Stream& stream, bool timed) {
  const auto flag = timed ? c10::EventFlag::BACKEND_DEFAULT : c10::EventFlag::PYTORCH_DEFAULT;
  auto event = std::make_unique<Event>(Event{c10::Event(stream.stream.device_type(), flag)});
  event->event.record(stream.stream);
  return event;
}

bool event_done(const Event& event) { return event.event.query(); }

void event_synchronize(const Event& event) { event.event.synchronize(); }

double event_elapsed_ms(const Event& start, const Event& end) { return start.event.elapsedTime(end.event); }

}  // namespace bridge
