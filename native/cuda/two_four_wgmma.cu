// 2:4 products on Hopper. At their full rate the instructions read twice the B of dense ones: 128 bytes a cycle of
// shared memory, which is all there is; W's values and the copy engine's writes come on top. So tiles are as high as
// the registers of two warpgroups allow, 256×192 in 16 bits (each holds two blocks of 64×192; in int8 the compiler
// spills those, and 128×256 is the faster, as it is where high tiles would be too few or half empty), and steps begin
// two by two: a warpgroup that waits for its products at every step leaves the tensor cores without work where both
// wait.
//
// Measured at 8192³ in bfloat16 on an H200, beside cuBLAS's dense product of 1.39 ms: as they are 0.97 ms; step by
// step 0.99; tiles of 128×256 1.00, step by step 1.15, with W's values read into registers first (ldmatrix) 1.04 and
// 1.10; 256×192 with those 1.06; clusters of four 1.13 to 1.19. Before that, step by step: tiles of 192×192 1.26, of
// 256×128 1.31, no clusters 1.38; values straight from memory into registers 1.43 to 1.58. (Two sets of places in
// turn, so that products could stay under way, the compiler takes for inputs that change, and serialises; three
// warpgroups of 64×256 have no registers for it.)
#include "cuda/gemm_ring.cuh"

namespace espalier::cuda {

// The places of two steps for a warp's rows, 16 of every 64, the next two steps' ahead of their use. kWords: of a step.
template <int kBlocks, int kWords>
struct Lookahead {
  uint32_t now[kBlocks][2 * kWords], next[kBlocks][2 * kWords];
  const uint32_t* words;
  uint32_t first[kBlocks];
  int last;

  __device__ Lookahead(const Places& places, int64_t first_i, int lane, int begin)
      : words(places.words), last(places.blocks_k - 1) {
#pragma unroll
    for (int block = 0; block < kBlocks; ++block) {
      const int row = min(static_cast<int>(first_i / kPlaceRows) + block * (64 / kPlaceRows), places.blocks_m - 1);
      first[block] = static_cast<uint32_t>(row) * static_cast<uint32_t>(places.blocks_k) * 32 + lane;
    }
    look(begin);
  }
  __device__ void look(int step) {
#pragma unroll
    for (int block = 0; block < kBlocks; ++block)
#pragma unroll
      for (int w = 0; w < 2 * kWords; ++w)
        next[block][w] = words[first[block] + static_cast<uint32_t>(min(step * kWords + w, last)) * 32];
  }
  __device__ void advance(int step) {
#pragma unroll
    for (int block = 0; block < kBlocks; ++block)
#pragma unroll
      for (int w = 0; w < 2 * kWords; ++w) now[block][w] = next[block][w];
    look(step + 2);
  }
};

// kHigh: in tiles of 256×192, else of 128×256.
template <class T, bool kHigh>
struct Sparse {
  using Element = T;
  using Sum = std::conditional_t<sizeof(T) == 1, int32_t, float>;
  static constexpr int kWords = sizeof(T) == 1 ? 2 : 1;
  static constexpr int kConsumers = 2, kBlocks = kHigh ? 2 : 1, kN = kHigh ? 192 : 256;
  static constexpr int kRowA = 64, kK = 128 / int{sizeof(T)};
  // Places must not change while products are under way.
  static constexpr bool kTransposeA = false, kTransposeB = true, kUnderWay = false;
  using Where = Lookahead<kBlocks, kWords>;

#if defined(ESPALIER_HOPPER)
  template <int kPart>
  static __device__ __forceinline__ void multiply(Sum (&sum)[kBlocks][kN / 2], uint32_t a, uint32_t b, bool add,
                                                  const Where& where) {
    ptx::wgmma_fence();
#pragma unroll
    for (int block = 0; block < kBlocks; ++block) {
      // Two instructions of 64 bytes of K, of which W stores 32.
      const uint32_t at = a + block * 64 * kRowA;
      const uint64_t left0 = ptx::descriptor(at, 64, 16, 512), left1 = ptx::descriptor(at + 32, 64, 16, 512);
      const uint64_t right0 = ptx::descriptor(b, 128, 16, 1024), right1 = ptx::descriptor(b + 64, 128, 16, 1024);
      const uint32_t* const places = where.now[block] + kPart * kWords;
      if constexpr (sizeof(T) == 1) {
        ptx::wgmma_sparse(sum[block], left0, right0, places[0], add);
        ptx::wgmma_sparse(sum[block], left1, right1, places[1], 1);
      } else {
        ptx::wgmma_sparse<T, 0>(sum[block], left0, right0, places[0], add);
        ptx::wgmma_sparse<T, 1>(sum[block], left1, right1, places[0], 1);
      }
    }
  }
#endif
};

template <class T, class C, bool kTransposed, class F>
bool two_four_wgmma_takes(const TwoFourProduct<T, C, kTransposed, F>& p) {
  if (!wgmma_enabled() || traits().capability != 90 || p.k < 256) return false;
  if (reinterpret_cast<uintptr_t>(p.values) % 16 != 0 || reinterpret_cast<uintptr_t>(p.b) % 16 != 0) return false;
  if (std::max({p.to.m, p.to.n, p.k}) > INT32_MAX / 2) return false;
  if (int64_t{p.places.blocks_m} * p.places.blocks_k * 32 > UINT32_MAX) return false;
  return fills_hopper(p.to.m, p.to.n);
}

// These products' sums get no more than a row's bias: code for the rest would take registers that sums fill.
template <class F>
struct ByRows : F {
  __device__ static constexpr bool looks() { return false; }
};

template <class Math, class T, class C, bool kTransposed, class F>
void in_tiles(const TwoFourProduct<T, C, kTransposed, F>& p) {
  constexpr espalier_dtype dtype = dtype_of<T>();
  const CUtensorMap a =
      tensor_map(p.values, dtype, p.to.m, p.k / 2, p.k / 2, Ring<Math>::kM, 64 / int{sizeof(T)}, Swizzle::k64);
  const CUtensorMap b = tensor_map(p.b, dtype, p.to.n, p.k, p.k, Math::kN / kTwoFourCluster, Math::kK);
  launch_ring<Math, kTwoFourCluster>(a, b, p.to, p.k, ByRows<F>{p.finish}, p.places, "two_four_wgmma");
}

template <class T, class C, bool kTransposed, class F>
void two_four_wgmma(const TwoFourProduct<T, C, kTransposed, F>& p) {
  if constexpr (sizeof(T) == 2) {
    using High = Sparse<T, true>;
    static_assert(Ring<High>::kM == kHighRows && High::kN == kHighColumns);
    if (takes_high_tiles(p.to.m, p.to.n)) return in_tiles<High>(p);
  }
  using Wide = Sparse<T, false>;
  static_assert(Ring<Wide>::kM == kWideRows && Wide::kN == kWideColumns);
  in_tiles<Wide>(p);
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
