// Streams, events and memory statistics through c10's device-generic interface: nothing of CUDA is linked.
#pragma once
#include <c10/core/Event.h>
#include <c10/core/Stream.h>

#include <memory>

#include "tensor.h"

namespace bridge {

struct MemoryStats;  // defined by cxx

struct Stream {
  c10::Stream stream;
};

struct Event {
  c10::Event event;
};

int32_t device_count();
void set_device(int32_t device);
void synchronize(int32_t device);
MemoryStats memory_stats(int32_t device);
void reset_peak_memory(int32_t device);
void empty_cache();

std::unique_ptr<Stream> stream_new(int32_t device, bool high_priority);
std::unique_ptr<Stream> stream_current(int32_t device);
void stream_make_current(const Stream& stream);
void stream_wait_event(const Stream& stream, const Event& event);
void stream_synchronize(const Stream& stream);
void stream_keep(const Stream& stream, const Tensor& tensor);

std::unique_ptr<Event> event_record(const Stream& stream, bool timed);
bool event_done(const Event& event);
void event_synchronize(const Event& event);
double event_elapsed_ms(const Event& start, const Event& end);

}  // namespace bridge
