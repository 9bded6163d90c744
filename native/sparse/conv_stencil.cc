#include "sparse/conv_stencil.h"

#include "core/failure.h"

namespace espalier::sparse {
namespace {

// About ten bytes of code a kept entry. Beyond this the code of one pass no longer fits the last cache.
constexpr int64_t kMostCode = int64_t{16} << 20;

}  // namespace

std::unique_ptr<StencilKernel> make_stencil(Stencil stencil, espalier_sparse_kernel kernel) {
  if (kernel != ESPALIER_SPARSE_KERNEL_PORTABLE) {
    auto generated =
        make_generated_stencil(stencil, kernel == ESPALIER_SPARSE_KERNEL_GENERATED ? INT32_MAX : kMostCode);
    if (generated != nullptr) return generated;
    if (kernel == ESPALIER_SPARSE_KERNEL_GENERATED)
      fail(ESPALIER_INVALID_ARGUMENT,
           "code cannot be generated here: no emitter for this instruction set, ESPALIER_JIT=0, or no executable "
           "memory");
  }
  return make_portable_stencil(std::move(stencil));
}

}  // namespace espalier::sparse
