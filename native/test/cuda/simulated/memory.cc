// In place of cuda/core/memory.cc, whose cache rounds sizes up and keeps what is freed: here every array of the
// library has its own guard.
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <mutex>

#include "cuda/core/memory.h"
#include "cuda/core/device.h"
#include "guarded.h"
#include "threads.h"

namespace espalier::simulated {
namespace {

struct Allocation {
  void* pages;
  size_t mapped, bytes;
};
std::mutex g_lock;
std::map<const void*, Allocation>& allocations() {
  static auto* const all = new std::map<const void*, Allocation>;
  return *all;
}
size_t g_bytes = 0;

size_t page() {
  static const size_t size = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return size;
}

}  // namespace

void* guarded_allocate(size_t bytes) {
  // The driver's own begin at multiples of 256; the library's kernels are promised 16.
  const size_t kept = (bytes + 15) / 16 * 16, whole = (kept + page() - 1) / page() * page();
  char* const pages =
      static_cast<char*>(mmap(nullptr, whole + page(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (pages == MAP_FAILED) return nullptr;
  mprotect(pages + whole, page(), PROT_NONE);
  char* const at = pages + whole - kept;
  std::memset(pages, 0xff, whole);
  const std::lock_guard<std::mutex> hold(g_lock);
  allocations()[at] = {pages, whole + page(), bytes};
  g_bytes += bytes;
  return at;
}
bool guarded_free(void* address) {
  if (address == nullptr) return true;
  const std::lock_guard<std::mutex> hold(g_lock);
  const auto found = allocations().find(address);
  if (found == allocations().end()) return false;
  // Before it, and what is left of its last 16 bytes.
  const auto [pages, mapped, bytes] = found->second;
  const char *const first = static_cast<const char*>(pages), *const end = first + mapped - page();
  const char* const own = static_cast<const char*>(address);
  for (const char* at = first; at < end; ++at)
    if ((at < own || at >= own + bytes) && *at != '\xff')
      fail("something was written %td bytes from the beginning of an array of %zu", at - own, bytes);
  munmap(found->second.pages, found->second.mapped);
  g_bytes -= found->second.bytes;
  allocations().erase(found);
  return true;
}
size_t guarded_bytes() {
  const std::lock_guard<std::mutex> hold(g_lock);
  return g_bytes;
}

}  // namespace espalier::simulated

namespace espalier::cuda {

void* allocate(int64_t bytes) {
  if (bytes < 0 || bytes > (int64_t{1} << 46))
    fail(ESPALIER_OUT_OF_MEMORY, "%lld bytes asked for", static_cast<long long>(bytes));
  void* block = nullptr;
  if (cudaMalloc(&block, static_cast<size_t>(bytes > 0 ? bytes : 1)) != cudaSuccess) {
    cudaGetLastError();
    size_t free_bytes = 0, total = 0;
    cudaMemGetInfo(&free_bytes, &total);
    fail(ESPALIER_OUT_OF_MEMORY, "%lld bytes asked for: %zu free of %zu", static_cast<long long>(bytes), free_bytes,
         total);
  }
  return block;
}
void release(void* address) noexcept { simulated::guarded_free(address); }
bool owned(const void* address) {
  const std::lock_guard<std::mutex> hold(simulated::g_lock);
  return simulated::allocations().count(address) > 0;
}
void memory_usage(int64_t* used, int64_t* cached) {
  *used = static_cast<int64_t>(simulated::guarded_bytes());
  *cached = 0;
}
void inherit(int, int64_t) {}
void empty_cache() {}

}  // namespace espalier::cuda
