// 2:4 products on Hopper. At their full rate the instructions read twice the B of dense ones: 128 bytes a cycle of
// shared memory, which is all there is, and the copy engine's writes come on top. Measured at 8192³ in bfloat16 on
// an H200, one after the other while the chip clocked down: tiles of 128×256 and clusters of two 1.17 ms, tiles of
// 192×192 1.26, of 256×128 1.31, no clusters 1.38; W's values straight from memory into registers, in the order of
// the threads, 1.43 to 1.58.
#include <cstdlib>

#include "cuda/gemm_ring.cuh"

namespace espalier::cuda {

// The places of a warp's rows, a stage's ahead of their use: of 16 of every 64.
template <int kBlocks, int kWords, int kPair>
struct Lookahead {
  uint32_t now[kBlocks][kPair * kWords], next[kBlocks][kPair * kWords];
  const uint32_t* words;
  uint32_t first[kBlocks];
  int last;

  __device__ Lookahead(const Places& places, int64_t first_i, int lane, int begin)
      : words(places.words), last(places.blocks_k - 1) {
#pragma unroll
    for (int block = 0; block < kBlocks; ++block)
      first[block] = static_cast<uint32_t>(
                         min(static_cast<int>(first_i / kPlaceRows) + block * (64 / kPlaceRows), places.blocks_m - 1)) *
                         static_cast<uint32_t>(places.blocks_k) * 32 +
                     static_cast<uint32_t>(lane);
    look(begin);
  }
  __device__ void look(int step) {
#pragma unroll
    for (int block = 0; block < kBlocks; ++block)
#pragma unroll
      for (int w = 0; w < kPair * kWords; ++w)
        next[block][w] = words[first[block] + static_cast<uint32_t>(min(step * kWords + w, last)) * 32];
  }
  __device__ void advance(int step) {
#pragma unroll
    for (int block = 0; block < kBlocks; ++block)
#pragma unroll
      for (int w = 0; w < kPair * kWords; ++w) now[block][w] = next[block][w];
    look(step + kPair);
  }
};

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// Four blocks of 8 rows of 16 bytes, a row from each thread's address: a warp's operand A of mma.sync.
__device__ __forceinline__ void load_blocks(uint32_t (&to)[4], uint32_t from) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(from)
               : "memory");
}

#endif

// A tile of 64·kOf rows of each of two consumers. kRegisterA: W's values go through registers.
template <class T, int kOf, int kColumns, bool kRegisterA, int kSteps = 1>
struct Sparse {
  using Element = T;
  using Sum = std::conditional_t<sizeof(T) == 1, int32_t, float>;
  static constexpr int kWords = sizeof(T) == 1 ? 2 : 1;
  using Where = Lookahead<kOf, kWords, kSteps>;
  static constexpr int kConsumers = 2, kBlocks = kOf, kPair = kSteps, kN = kColumns, kRowA = 64,
                       kK = 128 / int{sizeof(T)};
  // Places must not change while products are under way: the other warpgroup keeps the tensor cores busy.
  static constexpr bool kTransposeA = false, kTransposeB = true, kUnderWay = false;

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  // Two instructions of 64 bytes of K, of which W stores 32.
  template <class Left>
  static __device__ __forceinline__ void products(Sum (&sum)[kN / 2], const Left& left0, const Left& left1, uint32_t b,
                                                  bool add, const uint32_t* places) {
    const uint64_t right0 = operand(b, 128, 16, 1024), right1 = operand(b + 64, 128, 16, 1024);
    if constexpr (sizeof(T) == 1) {
      wgmma_sparse(sum, left0, right0, places[0], add);
      wgmma_sparse(sum, left1, right1, places[1], 1);
    } else {
      wgmma_sparse<T, 0>(sum, left0, right0, places[0], add);
      wgmma_sparse<T, 1>(sum, left1, right1, places[0], 1);
    }
  }

  template <int kPart>
  static __device__ __forceinline__ void multiply(Sum (&sum)[kBlocks][kN / 2], uint32_t a, uint32_t b, bool add,
                                                  const Where& where) {
    if constexpr (kRegisterA) {
      // Rows 0 to 7 and 8 to 15 of the warp's 16, and both again 16 bytes further; swizzled within 64 bytes.
      const uint32_t row = threadIdx.x / 32 % 4 * 16 + threadIdx.x % 16, part = threadIdx.x / 16 % 2;
      const uint32_t at = a + row * 64 + (part ^ row / 2 % 4) * 16;
      uint32_t left[kBlocks][2][4];
#pragma unroll
      for (int block = 0; block < kBlocks; ++block) {
        load_blocks(left[block][0], at + block * 4096);
        load_blocks(left[block][1], (at ^ 32) + block * 4096);
      }
      wgmma_fence();
#pragma unroll
      for (int block = 0; block < kBlocks; ++block)
        products(sum[block], left[block][0], left[block][1], b, add, where.now[block] + kPart * kWords);
    } else {
      wgmma_fence();
#pragma unroll
      for (int block = 0; block < kBlocks; ++block) {
        const uint32_t at = a + block * 4096;
        products(sum[block], operand(at, 64, 16, 512), operand(at + 32, 64, 16, 512), b, add,
                 where.now[block] + kPart * kWords);
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
  return tiles_of(p.to.m, 128) * tiles_of(p.to.n, 256) >= traits().multiprocessors / 2;
}

// These products' sums get no more than a row's bias: code for the rest would take registers that sums fill.
template <class F>
struct ByRows : F {
  __device__ static constexpr bool looks() { return false; }
};

template <class Math, int kCluster, bool kByRows = true, class T, class C, bool kTransposed, class F>
void two_four_ring(const TwoFourProduct<T, C, kTransposed, F>& p) {
  constexpr espalier_dtype dtype = dtype_of<T>();
  const CUtensorMap a = tensor_map(dtype, p.values, p.to.m, p.k / 2, p.k / 2, Ring<Math>::kM, 64 / int{sizeof(T)});
  const CUtensorMap b = tensor_map(dtype, p.b, p.to.n, p.k, p.k, Math::kN / kCluster, Math::kK);
  if constexpr (kByRows) launch_ring<Math, kCluster>(a, b, p.to, p.k, ByRows<F>{p.finish}, p.places, "two_four_wgmma");
  else launch_ring<Math, kCluster>(a, b, p.to, p.k, p.finish, p.places, "two_four_wgmma");
}

template <class T, class C, bool kTransposed, class F>
void two_four_wgmma(const TwoFourProduct<T, C, kTransposed, F>& p) {
  // TRIAL: which of the kernels, until they have been measured.
  static const int trial = [] {
    const char* const text = std::getenv("ESPALIER_TRIAL_TWO_FOUR");
    return text != nullptr ? std::atoi(text) : 0;
  }();
  switch (trial) {
    case 1: return two_four_ring<Sparse<T, 1, 256, true>, 2>(p);
    case 2: return two_four_ring<Sparse<T, 2, 192, false>, 2>(p);
    case 3: return two_four_ring<Sparse<T, 2, 192, true>, 2>(p);
    case 4: return two_four_ring<Sparse<T, 1, 256, false>, 4>(p);
    case 5: return two_four_ring<Sparse<T, 2, 192, true>, 4>(p);
    case 6: return two_four_ring<Sparse<T, 1, 256, false, 2>, 2>(p);
    default: return two_four_ring<Sparse<T, 1, 256, false>, 2, false>(p);
  }
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
