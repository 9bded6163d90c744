// The caching allocator. cudaMalloc takes tens of microseconds and waits for the device, so blocks that
// are given back wait here, by device, stream and size, for the next request of their size.
#include <map>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "cuda/core/memory.h"
#include "cuda/core/streams.h"

namespace espalier::cuda {
namespace {

// Sizes are rounded so that near misses share a block: to 512 bytes, from 1 MiB on to an eighth of the
// power of two below.
int64_t rounded(int64_t bytes) {
  int64_t step = 512;
  while (step * 16 <= bytes && bytes > (int64_t{1} << 20)) step *= 2;
  return (bytes + step - 1) / step * step;
}

struct Block {
  int device;
  int64_t stream, bytes;
};
struct Usage {
  int64_t used = 0, cached = 0;
};

struct Cache {
  std::mutex lock;
  std::unordered_map<void*, Block> live;
  std::map<std::pair<int, std::pair<int64_t, int64_t>>, std::vector<void*>> spare;  // (device, (stream, bytes))
  std::unordered_map<int, Usage> usage;
};

// Never destroyed: work may be in flight when the process ends.
Cache& cache() {
  static Cache* const made = new Cache;
  return *made;
}

int device_now() {
  int device = 0;
  ESPALIER_CUDA(cudaGetDevice(&device));
  return device;
}

// With the lock held: gives every spare block of a device back to the driver.
void drop_spare(Cache& all, int device) {
  for (auto it = all.spare.begin(); it != all.spare.end();)
    if (it->first.first == device) {
      for (void* const block : it->second) cudaFree(block);
      it = all.spare.erase(it);
    } else {
      ++it;
    }
  all.usage[device].cached = 0;
}

}  // namespace

void* allocate(int64_t bytes) {
  if (bytes < 0 || bytes > (int64_t{1} << 46))
    fail(ESPALIER_OUT_OF_MEMORY, "%lld bytes asked for", static_cast<long long>(bytes));
  const int64_t size = rounded(bytes > 0 ? bytes : 1);
  const int device = device_now();
  const int64_t number = current_stream().number;
  Cache& all = cache();
  const std::lock_guard<std::mutex> hold(all.lock);
  Usage& usage = all.usage[device];
  void* block = nullptr;
  const auto found = all.spare.find({device, {number, size}});
  if (found != all.spare.end() && !found->second.empty()) {
    block = found->second.back();
    found->second.pop_back();
    usage.cached -= size;
  } else {
    cudaError_t error = cudaMalloc(&block, static_cast<size_t>(size));
    if (error == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      drop_spare(all, device);
      error = cudaMalloc(&block, static_cast<size_t>(size));
    }
    if (error == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      size_t free_bytes = 0, total = 0;
      cudaMemGetInfo(&free_bytes, &total);
      fail(ESPALIER_OUT_OF_MEMORY, "%lld bytes asked for on device %d: %lld in use here, %lld free of %lld",
           static_cast<long long>(bytes), device, static_cast<long long>(usage.used),
           static_cast<long long>(free_bytes), static_cast<long long>(total));
    }
    check(error, "cudaMalloc");
  }
  all.live[block] = {device, number, size};
  usage.used += size;
  return block;
}

void release(void* address) noexcept {
  if (address == nullptr) return;
  Cache& all = cache();
  const std::lock_guard<std::mutex> hold(all.lock);
  const auto found = all.live.find(address);
  if (found == all.live.end()) return;
  const Block block = found->second;
  all.live.erase(found);
  all.usage[block.device].used -= block.bytes;
  all.usage[block.device].cached += block.bytes;
  all.spare[{block.device, {block.stream, block.bytes}}].push_back(address);
}

bool owned(const void* address) {
  Cache& all = cache();
  const std::lock_guard<std::mutex> hold(all.lock);
  return all.live.count(const_cast<void*>(address)) > 0;
}

void memory_usage(int64_t* used, int64_t* cached) {
  const int device = device_now();
  Cache& all = cache();
  const std::lock_guard<std::mutex> hold(all.lock);
  *used = all.usage[device].used;
  *cached = all.usage[device].cached;
}

void inherit(int device, int64_t stream) {
  Cache& all = cache();
  const std::lock_guard<std::mutex> hold(all.lock);
  for (auto& [address, block] : all.live)
    if (block.device == device && block.stream == stream) block.stream = 0;
  for (auto it = all.spare.lower_bound({device, {stream, 0}});
       it != all.spare.end() && it->first.first == device && it->first.second.first == stream;) {
    auto& heirs = all.spare[{device, {0, it->first.second.second}}];
    heirs.insert(heirs.end(), it->second.begin(), it->second.end());
    it = all.spare.erase(it);
  }
}

void empty_cache() {
  const int device = device_now();
  ESPALIER_CUDA(cudaDeviceSynchronize());
  Cache& all = cache();
  const std::lock_guard<std::mutex> hold(all.lock);
  drop_spare(all, device);
}

}  // namespace espalier::cuda
