#include "kernels/gemm.h"

#include <utility>

namespace espalier {

// A product as the loops see it: element (i, p) of op(A) is a[i·a_row + p·a_column], element (p, j)
// of op(B) is b[p·b_row + j·b_column], or stands in `packed`.
template <class T>
struct Product {
  int64_t m, n, k;
  T alpha;
  const T* a;
  int64_t a_row, a_column;
  const T* b;
  int64_t b_row, b_column;
  const T* packed;
  T beta;
  T* c;
  int64_t ldc;
  kernels::GemmEpilogue<T> epilogue;
};

// Bytes of a row of A that one pass over k covers, and the columns of C that it meets: at most 4 MiB of
// panels. Fewer passes over C count for more than a B that is near: of the peak of a Zen 4 core at 1024³,
// with rows of A outside and panels inside, 1 KiB × 256 columns reached 81–86%, 2 KiB × 256 84–87,
// 2 KiB × 512 88–90, 2 KiB × 1024 90–92, 4 KiB × 1024 92–95; 8 KiB or 4096 columns no better.
//
// On a Zen 5, twice as fast, 1 or 2 KiB lost 15% and 9% there, and 4096 columns up to 5% of a large product.
//
// Tried without a clear win: prefetching B or A from inside a tile, 16 or 32 steps ahead; bringing the next
// panel to the second level while a block meets this one; copying rows of A side by side untransposed (4% slower
// at 512×4096×4096). Prefetching the tile of C before its sums was worth 4% at 256³, and spreading that over the
// sums 2% more there and 6% of a large product: all its lines at once keep A and B waiting. One panel to a
// whole block of rows (not one tile) was worth 1% of a large product.
constexpr int64_t kGemmDepthBytes = 4096;
constexpr int64_t kGemmGroupColumns = 1024;
// Bytes of A in a block of rows: with a panel of B they share a second-level cache of 1 MiB.
constexpr int64_t kGemmBlockBytes = 400 << 10;
// Multiplications below which a product is not worth a second thread.
constexpr int64_t kGemmSerial = 1 << 20;
// Pieces a larger one is cut into, or a multiple of them, where its tiles suffice.
constexpr int64_t kGemmTasks = 8;
// A tile of dot products, and the rows of A up to which they beat packing a transposed B that lies in
// the third-level cache, if the sums are long enough to repay adding up their lanes.
constexpr int kDotSide = 4;
constexpr int64_t kDotRows = 16, kDotDepth = 256;
// Elements before the panels in a packed buffer.
constexpr int64_t kGemmHeader = 16;

}  // namespace espalier

#define ESPALIER_KERNEL "kernels/gemm.inl"
#include "simd/each_isa.h"

namespace espalier::kernels {
namespace {

template <class T>
Product<T> product(bool transpose_a, int64_t m, int64_t n, int64_t k, T alpha, const T* a, int64_t lda, T beta, T* c,
                   int64_t ldc, const GemmEpilogue<T>& epilogue) {
  Product<T> made{};
  made.m = m, made.n = n, made.k = alpha == 0 ? 0 : k;
  made.alpha = alpha, made.beta = beta;
  made.a = a, made.a_row = transpose_a ? 1 : lda, made.a_column = transpose_a ? lda : 1;
  made.c = c, made.ldc = ldc;
  made.epilogue = epilogue;
  return made;
}

}  // namespace

template <class T>
void gemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, T alpha, const T* a, int64_t lda,
          const T* b, int64_t ldb, T beta, T* c, int64_t ldc, const GemmEpilogue<T>& epilogue) {
  Product<T> whole = product(transpose_a, m, n, k, alpha, a, lda, beta, c, ldc, epilogue);
  whole.b = b, whole.b_row = transpose_b ? 1 : ldb, whole.b_column = transpose_b ? ldb : 1;
  ESPALIER_ON_ISA(gemm<T>(whole));
}

template <class T>
void gemm_packed(bool transpose_a, int64_t m, int64_t n, int64_t k, T alpha, const T* a, int64_t lda, const T* packed,
                 T beta, T* c, int64_t ldc, const GemmEpilogue<T>& epilogue) {
  Product<T> whole = product(transpose_a, m, n, k, alpha, a, lda, beta, c, ldc, epilogue);
  whole.packed = packed + kGemmHeader;
  ESPALIER_ON_ISA(gemm<T>(whole));
}

template <class T>
int64_t gemm_pack_size(int64_t n, int64_t k) {
  int64_t width = 1, size;
  ESPALIER_ON_ISA(panel_width<T>(&width));
  if (__builtin_add_overflow(n, width - 1, &size) || __builtin_mul_overflow(size / width * width, k, &size)) return -1;
  return size > (int64_t{1} << 53) - kGemmHeader ? -1 : size + kGemmHeader;
}

template <class T>
void gemm_pack(bool transpose_b, int64_t n, int64_t k, const T* b, int64_t ldb, T* packed) {
  ESPALIER_ON_ISA(pack_all<T>(n, k, b, transpose_b ? 1 : ldb, transpose_b ? ldb : 1, packed));
}

template <class T>
bool gemm_is_packed(int64_t n, int64_t k, const T* packed) {
  bool same = false;
  ESPALIER_ON_ISA(is_packed<T>(n, k, packed, &same));
  return same;
}

#define ESPALIER_GEMM(T)                                                                                             \
  template void gemm(bool, bool, int64_t, int64_t, int64_t, T, const T*, int64_t, const T*, int64_t, T, T*, int64_t, \
                     const GemmEpilogue<T>&);                                                                        \
  template void gemm_packed(bool, int64_t, int64_t, int64_t, T, const T*, int64_t, const T*, T, T*, int64_t,         \
                            const GemmEpilogue<T>&);                                                                 \
  template int64_t gemm_pack_size<T>(int64_t, int64_t);                                                              \
  template void gemm_pack(bool, int64_t, int64_t, const T*, int64_t, T*);                                            \
  template bool gemm_is_packed(int64_t, int64_t, const T*);
ESPALIER_GEMM(float)
ESPALIER_GEMM(double)
#undef ESPALIER_GEMM

}  // namespace espalier::kernels
