#include "cuda/core/streams.h"

#include <map>
#include <mutex>

#include "cuda/core/memory.h"

namespace espalier::cuda {
namespace {

struct Key {
  int device;
  int64_t number;
  auto operator<=>(const Key&) const = default;
};

std::mutex g_lock;
std::map<Key, cudaStream_t> g_streams;
int64_t g_next = 1;

thread_local std::map<int, int64_t> t_current;

int device_now() {
  int device = 0;
  ESPALIER_CUDA(cudaGetDevice(&device));
  return device;
}

cudaStream_t make() {
  cudaStream_t made;
  ESPALIER_CUDA(cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking));
  return made;
}

}  // namespace

cudaStream_t stream_of(int64_t number) {
  const int device = device_now();
  const std::lock_guard<std::mutex> hold(g_lock);
  const auto found = g_streams.find({device, number});
  if (found != g_streams.end()) return found->second;
  if (number != 0)
    fail(ESPALIER_INVALID_ARGUMENT, "there is no stream %lld on device %d", static_cast<long long>(number), device);
  return g_streams[{device, 0}] = make();
}

Stream current_stream() {
  const int64_t number = t_current[device_now()];
  return {stream_of(number), number};
}

void set_current_stream(int64_t number) {
  stream_of(number);
  t_current[device_now()] = number;
}

int64_t create_stream() {
  const int device = device_now();
  const cudaStream_t made = make();
  const std::lock_guard<std::mutex> hold(g_lock);
  g_streams[{device, g_next}] = made;
  return g_next++;
}

void destroy_stream(int64_t number) {
  if (number == 0) fail(ESPALIER_INVALID_ARGUMENT, "stream 0 stays");
  const int device = device_now();
  const cudaStream_t gone = stream_of(number);
  ESPALIER_CUDA(cudaStreamSynchronize(gone));
  {
    const std::lock_guard<std::mutex> hold(g_lock);
    g_streams.erase({device, number});
  }
  if (t_current[device] == number) t_current[device] = 0;
  inherit(device, number);
  ESPALIER_CUDA(cudaStreamDestroy(gone));
}

}  // namespace espalier::cuda
