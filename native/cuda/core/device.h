// The device as kernels' callers see it: errors, the stream work goes to, working memory.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "core/array.h"
#include "core/failure.h"

namespace espalier::cuda {

// Throws Failure for a runtime call that failed, naming it.
void check(cudaError_t error, const char* call);
#define ESPALIER_CUDA(call) ::espalier::cuda::check(call, #call)

// After a kernel launch: throws if it could not be queued.
inline void launched(const char* kernel) { check(cudaGetLastError(), kernel); }

// The stream of the calling thread on its current device. Everything is queued there.
cudaStream_t stream();

// What kernels choose their shape by; asked of the driver once per device.
struct Traits {
  int capability;  // 10·major + minor
  int multiprocessors;
  int shared_optin;  // bytes of shared memory a block may have at most
  int64_t l2_bytes;
};
const Traits& traits();

// Memory of the current device from the cache (memory.cc). Blocks are reused in the order of the stream
// that freed them, so freeing what queued work still uses is fine.
void* allocate(int64_t bytes);
void release(void* address) noexcept;

// Working memory of one call, given back at the end of the scope.
template <class T>
class Temporary {
 public:
  explicit Temporary(int64_t count)
      : data_(count > 0 ? static_cast<T*>(allocate(count * int64_t{sizeof(T)})) : nullptr) {}
  ~Temporary() {
    if (data_ != nullptr) release(data_);
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  T* get() const { return data_; }
  operator T*() const { return data_; }

 private:
  T* data_;
};

// How float32 operands meet the tensor cores; see espalier_cuda_set_precision.
enum class Precision { kFloat32, kTf32, kBfloat16 };
Precision precision();

// Faults that only the data can cause (an index out of range, NaN among scores). A kernel that meets one
// calls `raise_fault(faults, Fault{…})`; the next call that waits for the stream throws it under the name
// of the function that queued the kernel.
enum class FaultKind : int32_t { kNone = 0, kIndexOutOfRange = 1, kNotANumber = 2, kBadScale = 3 };
struct Fault {
  int32_t kind;
  int32_t function;  // from fault_source
  int64_t value;
};
// Where kernels of the current device leave their fault: memory the host can read.
Fault* faults();
// A number for a function's name, for Fault::function.
int32_t fault_source(const char* function);
// Waits for the stream; throws what went wrong since the last wait.
void synchronize();

}  // namespace espalier::cuda
