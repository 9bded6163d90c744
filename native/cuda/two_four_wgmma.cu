// 2:4 products on Hopper. At their full rate the instructions read twice the B of dense ones: 128 bytes a cycle of
// shared memory, which is all there is, and the copy engine's writes come on top. Measured at 8192³ in bfloat16 on
// an H200, one after the other while the chip clocked down: tiles of 128×256 and clusters of two 1.17 ms, tiles of
// 192×192 1.26, of 256×128 1.31, no clusters 1.38; W's values straight from memory into registers, in the order of
// the threads, 1.43 to 1.58.
#include "cuda/gemm_ring.cuh"

namespace espalier::cuda {

// The places of a warp's rows, a stage's ahead of their use.
template <int kWords>
struct Lookahead {
  uint32_t now[kWords], next[kWords];
  const uint32_t* words;
  int last;

  __device__ Lookahead(const Places& places, int64_t first_i, int lane, int begin)
      : words(places.words + min(first_i / kPlaceRows, int64_t{places.blocks_m - 1}) * places.blocks_k * int64_t{32} +
              lane),
        last(places.blocks_k - 1) {
    look(begin);
  }
  __device__ void look(int step) {
#pragma unroll
    for (int w = 0; w < kWords; ++w) next[w] = words[min(step * kWords + w, last) * 32];
  }
  __device__ void advance(int step) {
#pragma unroll
    for (int w = 0; w < kWords; ++w) now[w] = next[w];
    look(step + 1);
  }
};

template <class T>
struct Sparse {
  using Element = T;
  using Sum = std::conditional_t<sizeof(T) == 1, int32_t, float>;
  static constexpr int kWords = sizeof(T) == 1 ? 2 : 1;
  using Where = Lookahead<kWords>;
  static constexpr int kConsumers = 2, kN = 256, kRowA = 64, kK = 128 / int{sizeof(T)};
  // Places must not change while products are under way: the other warpgroup keeps the tensor cores busy.
  static constexpr bool kTransposeA = false, kTransposeB = true, kUnderWay = false;

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  static __device__ __forceinline__ void multiply(Sum (&sum)[kN / 2], uint32_t a, uint32_t b, bool add,
                                                  const Where& where) {
    // Two instructions of 64 bytes of K, of which W stores 32.
    const uint64_t left0 = operand(a, 64, 16, 512), left1 = operand(a + 32, 64, 16, 512);
    const uint64_t right0 = operand(b, 128, 16, 1024), right1 = operand(b + 64, 128, 16, 1024);
    if constexpr (sizeof(T) == 1) {
      wgmma_sparse(sum, left0, right0, where.now[0], add);
      wgmma_sparse(sum, left1, right1, where.now[1], 1);
    } else {
      wgmma_sparse<T, 0>(sum, left0, right0, where.now[0], add);
      wgmma_sparse<T, 1>(sum, left1, right1, where.now[0], 1);
    }
  }
#endif
};

template <class T, class C, bool kTransposed, class F>
bool two_four_wgmma_takes(const TwoFourProduct<T, C, kTransposed, F>& p) {
  if (!wgmma_enabled() || traits().capability != 90 || p.k < 256) return false;
  if (reinterpret_cast<uintptr_t>(p.values) % 16 != 0 || reinterpret_cast<uintptr_t>(p.b) % 16 != 0) return false;
  if (std::max({p.to.m, p.to.n, p.k}) > INT32_MAX / 2) return false;
  return tiles_of(p.to.m, 128) * tiles_of(p.to.n, 256) >= traits().multiprocessors / 2;
}

template <class T, class C, bool kTransposed, class F>
void two_four_wgmma(const TwoFourProduct<T, C, kTransposed, F>& p) {
  using Math = Sparse<T>;
  constexpr int kCluster = 2;
  constexpr espalier_dtype dtype = dtype_of<T>();
  const CUtensorMap a = tensor_map(dtype, p.values, p.to.m, p.k / 2, p.k / 2, Ring<Math>::kM, 64 / int{sizeof(T)});
  const CUtensorMap b = tensor_map(dtype, p.b, p.to.n, p.k, p.k, Math::kN / kCluster, Math::kK);
  launch_ring<Math, kCluster>(a, b, p.to, p.k, p.finish, p.places, "two_four_wgmma");
}

#define ESPALIER_INSTANCE(T, C, F)                                           \
  template bool two_four_wgmma_takes(const TwoFourProduct<T, C, false, F>&); \
  template bool two_four_wgmma_takes(const TwoFourProduct<T, C, true, F>&);  \
  template void two_four_wgmma(const TwoFourProduct<T, C, false, F>&);       \
  template void two_four_wgmma(const TwoFourProduct<T, C, true, F>&);
ESPALIER_INSTANCE(__half, __half, Finish<__half>)
ESPALIER_INSTANCE(__nv_bfloat16, __nv_bfloat16, Finish<__nv_bfloat16>)
ESPALIER_INSTANCE(int8_t, int32_t, WholeFinish)

}  // namespace espalier::cuda
