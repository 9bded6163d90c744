// Dense products of half, bfloat16 and float as tf32 on Hopper.
#include <atomic>

#include "cuda/gemm_ring.cuh"
#include "cuda/gemm_split.cuh"

namespace espalier::cuda {

struct Nowhere {
  __device__ Nowhere(const Places&, int64_t, int, int) {}
  __device__ void advance(int) {}
};

template <class T, bool kTA, bool kTB>
struct Dense {
  using Element = T;
  using Sum = float;
  using Where = Nowhere;
  static constexpr int kConsumers = 2, kBlocks = 1, kN = 256, kRowA = 128, kK = 128 / int{sizeof(T)};
  static constexpr bool kTransposeA = kTA, kTransposeB = kTB, kUnderWay = true;
  static_assert(sizeof(T) == 2 || (!kTA && kTB));

#if defined(ESPALIER_HOPPER)
  template <int kPart>
  static __device__ __forceinline__ void multiply(float (&sum)[1][kN / 2], uint32_t a, uint32_t b, bool add, Nowhere) {
    ptx::wgmma_fence();
#pragma unroll
    for (int step = 0; step < 4; ++step) {
      // An instruction takes 32 bytes of rows of 128, or 16 of these rows where K runs down the columns.
      const uint64_t left =
          kTA ? ptx::descriptor(a + step * 2048, 128, 8192, 1024) : ptx::descriptor(a + step * 32, 128, 16, 1024);
      const uint64_t right =
          kTB ? ptx::descriptor(b + step * 32, 128, 16, 1024) : ptx::descriptor(b + step * 2048, 128, 8192, 1024);
      if constexpr (sizeof(T) == 2) ptx::wgmma<T, kTA, !kTB>(sum[0], left, right, add || step > 0);
      else ptx::wgmma_tf32(sum[0], left, right, add || step > 0);
    }
  }
#endif
};

namespace {

std::atomic<bool> g_enabled{true};

constexpr int kTileM = 128, kTileN = 256;
template <class T>
constexpr int kStepK = 128 / int{sizeof(T)};

template <int kCluster, bool kTA, bool kTB, class T, class C>
void run(const Product<T, C>& p, const Splits* cut) {
  constexpr espalier_dtype dtype = dtype_of<T>();
  const CUtensorMap a = kTA ? tensor_map(p.a, dtype, p.k, p.m, p.lda, kStepK<T>, 64)
                            : tensor_map(p.a, dtype, p.m, p.k, p.lda, kTileM, kStepK<T>);
  const CUtensorMap b = kTB ? tensor_map(p.b, dtype, p.n, p.k, p.ldb, kTileN / kCluster, kStepK<T>)
                            : tensor_map(p.b, dtype, p.k, p.n, p.ldb, kStepK<T>, 64);
  const Target<C, false> to{p.c, p.m, p.n, p.ldc,
                            reinterpret_cast<uintptr_t>(p.c) % 16 == 0 && p.ldc * sizeof(C) % 16 == 0};
  launch_ring<Dense<T, kTA, kTB>, kCluster>(a, b, to, p.k, p.finish, {}, "gemm_wgmma", cut);
}

template <int kCluster, class T, class C>
void by_transposes(const Product<T, C>& p, const Splits* cut = nullptr) {
  if constexpr (sizeof(T) == 4) run<kCluster, false, true>(p, cut);
  else if (p.transpose_a) p.transpose_b ? run<kCluster, true, true>(p, cut) : run<kCluster, true, false>(p, cut);
  else p.transpose_b ? run<kCluster, false, true>(p, cut) : run<kCluster, false, false>(p, cut);
}

template <class T, class C>
int64_t tiles(const Product<T, C>& p) {
  return tiles_of(p.m, kTileM) * tiles_of(p.n, kTileN);
}

}  // namespace

bool wgmma_enabled() { return g_enabled.load(std::memory_order_relaxed); }
void enable_wgmma(bool on) { g_enabled.store(on, std::memory_order_relaxed); }

template <class T, class C>
bool gemm_wgmma_takes(const Product<T, C>& p) {
  if (!wgmma_enabled() || traits().capability != 90 || p.kept.count != 1 || p.added.count != 1) return false;
  // The copy engine wants rows that start at multiples of 16 bytes, and sizes that fit 31 bits.
  if (reinterpret_cast<uintptr_t>(p.a) % 16 != 0 || reinterpret_cast<uintptr_t>(p.b) % 16 != 0) return false;
  constexpr int kRow = 16 / int{sizeof(T)};
  if (sizeof(T) == 4 && (p.transpose_a || !p.transpose_b)) return false;
  if (p.lda % kRow != 0 || p.ldb % kRow != 0 || std::max({p.m, p.n, p.k}) > INT32_MAX / 2) return false;
  // Tiles that are half empty, and products too small to fill the device, are better off with mma.sync.
  return p.k >= 256 && 2 * p.m * p.n >= tiles(p) * kTileM * kTileN &&
         tiles(p) * tiles_of(p.k, 512) >= traits().multiprocessors / 4;
}

template <class T, class C>
void gemm_wgmma(const Product<T, C>& p) {
  if (tiles(p) >= traits().multiprocessors / 2) return by_transposes<2>(p);
  const Splits splits = split_for(tiles(p), tiles_of(p.k, kStepK<T>));
  const Temporary<float> parts(splits.parts * p.m * p.n);
  by_transposes<1>(
      Product<T, float>{
          p.m, p.n, p.k, p.transpose_a, p.transpose_b, p.a, p.lda, p.b, p.ldb, parts.get(), p.n, {}, {}, {}},
      &splits);
  add_parts(p, splits.parts, parts.get());
}

#define ESPALIER_INSTANCE(T, C)                         \
  template bool gemm_wgmma_takes(const Product<T, C>&); \
  template void gemm_wgmma(const Product<T, C>&);
ESPALIER_INSTANCE(__half, __half)
ESPALIER_INSTANCE(__half, float)
ESPALIER_INSTANCE(__nv_bfloat16, __nv_bfloat16)
ESPALIER_INSTANCE(__nv_bfloat16, float)
ESPALIER_INSTANCE(float, float)

}  // namespace espalier::cuda
