// 2:4 products on Hopper. What holds them back is shared memory: a warpgroup's instruction reads all of the
// tile's B in the time in which a dense one reads half of it, 128 bytes a cycle, which is all there is. What the
// copy engine writes comes on top, so that tall tiles, which write little for what is computed, do best.
#include "cuda/gemm_ring.cuh"

namespace espalier::cuda {
namespace {

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

template <class T, int kConsumersOfTile, int kColumnsOfTile, bool kTB>
struct Sparse {
  using Element = T;
  using Sum = std::conditional_t<sizeof(T) == 1, int32_t, float>;
  static constexpr int kWords = sizeof(T) == 1 ? 2 : 1;
  using Where = Lookahead<kWords>;
  static constexpr int kConsumers = kConsumersOfTile, kN = kColumnsOfTile, kRowA = 64;
  static constexpr int kK = 128 / int{sizeof(T)};
  // Places must not change while products are under way. The other warpgroups keep the tensor cores busy.
  static constexpr bool kTransposeA = false, kTransposeB = kTB, kUnderWay = false;
  static_assert(sizeof(T) == 2 || kTB);

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  static __device__ __forceinline__ void multiply(Sum (&sum)[kN / 2], uint32_t a, uint32_t b, bool add,
                                                  const Where& where) {
    // Two instructions of 64 bytes of K, of which W stores 32.
    const uint64_t left0 = operand(a, 64, 16, 512), left1 = operand(a + 32, 64, 16, 512);
    const uint64_t right0 = kTB ? operand(b, 128, 16, 1024) : operand(b, 128, 8192, 1024);
    const uint64_t right1 = kTB ? operand(b + 64, 128, 16, 1024) : operand(b + 32 * 128, 128, 8192, 1024);
    if constexpr (sizeof(T) == 1) {
      wgmma_sparse(sum, left0, right0, where.now[0], add);
      wgmma_sparse(sum, left1, right1, where.now[1], 1);
    } else {
      wgmma_sparse<T, !kTB, 0>(sum, left0, right0, where.now[0], add);
      wgmma_sparse<T, !kTB, 1>(sum, left1, right1, where.now[0], 1);
    }
  }
#endif
};

template <int kConsumers, int kN, int kCluster, bool kTB, class T, class C, bool kTransposed, class F>
void run(const TwoFourProduct<T, C, kTransposed, F>& p) {
  using Math = Sparse<T, kConsumers, kN, kTB>;
  constexpr espalier_dtype dtype = dtype_of<T>();
  const CUtensorMap a = tensor_map(dtype, p.values, p.to.m, p.k / 2, p.k / 2, 64 * kConsumers, 64 / int{sizeof(T)});
  const CUtensorMap b = kTB ? tensor_map(dtype, p.b, p.to.n, p.k, p.ldb, kN / kCluster, Math::kK)
                            : tensor_map(dtype, p.b, p.k, p.to.n, p.ldb, 64, 64);
  launch_ring<Math, kCluster>(a, b, p.to, p.k, p.finish, p.places, "two_four_wgmma");
}

}  // namespace

template <class T, class C, bool kTransposed, class F>
bool two_four_wgmma_takes(const TwoFourProduct<T, C, kTransposed, F>& p) {
  if (!wgmma_enabled() || traits().capability != 90 || p.k < 256) return false;
  if (reinterpret_cast<uintptr_t>(p.values) % 16 != 0 || reinterpret_cast<uintptr_t>(p.b) % 16 != 0) return false;
  if (std::max({p.to.m, p.to.n, p.k}) > INT32_MAX / 2) return false;
  return tiles_of(p.to.m, 128) * tiles_of(p.to.n, 256) >= traits().multiprocessors / 2;
}

template <class T, class C, bool kTransposed, class F>
void two_four_wgmma(const TwoFourProduct<T, C, kTransposed, F>& p, int variant) {
  if constexpr (sizeof(T) == 2 && !kTransposed) {
    if (p.b_by_rows) return run<2, 256, 2, false>(p);
  }
  if constexpr (std::is_same_v<T, __nv_bfloat16> && kTransposed) {
    if (variant == 1) return run<3, 192, 2, true>(p);
    if (variant == 2) return run<4, 128, 2, true>(p);
    if (variant == 3) return run<2, 256, 1, true>(p);
  }
  run<2, 256, 2, true>(p);
}

#define ESPALIER_INSTANCE(T, C, F)                                           \
  template bool two_four_wgmma_takes(const TwoFourProduct<T, C, false, F>&); \
  template bool two_four_wgmma_takes(const TwoFourProduct<T, C, true, F>&);  \
  template void two_four_wgmma(const TwoFourProduct<T, C, false, F>&, int);  \
  template void two_four_wgmma(const TwoFourProduct<T, C, true, F>&, int);
ESPALIER_INSTANCE(__half, __half, Finish<__half>)
ESPALIER_INSTANCE(__nv_bfloat16, __nv_bfloat16, Finish<__nv_bfloat16>)
ESPALIER_INSTANCE(int8_t, int32_t, WholeFinish)

}  // namespace espalier::cuda
