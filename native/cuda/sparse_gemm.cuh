// The product of masked matrices for every chip and element type: a block computes kRows×kColumns of
// out = A·B over slices of 32 of the contracted dimension, from wherever a walk says. Tiles (sparse_tiles.cu) list
// the slices that a mask keeps; masked products (sparse_masked.cu) take all, and apply the mask to A's elements
// on their way from registers to shared memory, or to the result.
#pragma once

#include <type_traits>

#include "cuda/core/launch.cuh"
#include "cuda/core/ptx/matrices.cuh"

namespace espalier::cuda::sparse {

// One operand, as rows (of A; columns of B) by the contracted dimension. kDeep: the contracted dimension is along
// memory, else the other. `ld`: from one line of memory to the next.
template <class T>
struct Operand {
  const T* data;
  int64_t ld;
};

// Where a block works: the corner of its result, and its slices, of which `walk.slice(at, i)` says where they begin.
struct Place {
  int64_t row, column, first, slices;
};

constexpr int kSlice = 32;

// How elements are multiplied.

// In their own precision, on the ordinary units.
template <class T>
struct Exact {
  using Element = T;
  using Wide = wide_t<T>;
  __device__ static T stored(T value) { return value; }
};
// float32 rounded to tf32, on tensor cores.
struct Tf32 {
  using Element = float;
  using Wide = float;
  __device__ static float stored(float value) { return __uint_as_float(ptx::to_tf32(value)); }
};
// 16-bit types on tensor cores.
template <class T>
struct Half {
  using Element = T;
  using Wide = float;
  __device__ static T stored(T value) { return value; }
};

// Masks by the index of an element of W: `get` reads what belongs to `count` elements, `apply` zeroes those that do
// not count. `aligned`: no piece of 16 bytes straddles two words.
struct NoMask {
  struct Piece {};
  __device__ static Piece get(int64_t, int, bool) { return {}; }
  template <class T, int kCount>
  __device__ static void apply(Piece, Pack<T, kCount>&) {}
  static constexpr bool kPresent = false;
};
struct BitMask {
  const uint32_t* words;
  static constexpr bool kPresent = true;
  using Piece = uint32_t;
  __device__ Piece get(int64_t at, int count, bool aligned) const {
    if (aligned) return words[at >> 5] >> (at & 31);
    Piece piece = 0;
    for (int i = 0; i < count; ++i) piece |= (words[(at + i) >> 5] >> ((at + i) & 31) & 1) << i;
    return piece;
  }
  template <class T, int kCount>
  __device__ static void apply(Piece piece, Pack<T, kCount>& value) {
#pragma unroll
    for (int i = 0; i < kCount; ++i)
      if ((piece >> i & 1) == 0) value.at[i] = T(0.f);
  }
};

// One operand's part of a slice: kLines lines of kLength elements along memory, through registers into shared
// memory, padded so that fragments are read without bank conflicts.
template <class Math, int kLines, int kLength, bool kDeep, int kThreads, class Mask>
struct Slice {
  using T = typename Math::Element;
  static constexpr int kPiece = 16 / sizeof(T);
  static constexpr int kPitch = kLength + (sizeof(T) == 2 ? 8 : sizeof(T) == 8 ? 2 : kDeep ? 4 : 8);
  static constexpr int kPieces = kLines * kLength / kPiece;
  static constexpr int kOwn = (kPieces + kThreads - 1) / kThreads;
  static constexpr int kBytes = kLines * kPitch * sizeof(T);

  Pack<T, kPiece> value[kOwn];
  typename Mask::Piece piece[kOwn];

  // Reads the part whose first line and position these are; beyond `lines` and `length` there are zeros.
  __device__ void load(const Operand<T>& from, const Mask& mask, bool whole, int64_t line, int64_t position,
                       int64_t lines, int64_t length) {
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const int index = threadIdx.x + i * kThreads;
      if (kPieces % kThreads != 0 && index >= kPieces) break;
      const int64_t l = line + index / (kLength / kPiece), p = position + index % (kLength / kPiece) * kPiece;
      const int64_t at = l * from.ld + p;
      const int count = l < lines ? static_cast<int>(max(int64_t{0}, min(int64_t{kPiece}, length - p))) : 0;
      if (whole && count == kPiece) {
        value[i] = *reinterpret_cast<const Pack<T, kPiece>*>(from.data + at);
      } else {
#pragma unroll
        for (int e = 0; e < kPiece; ++e) value[i].at[e] = e < count ? from.data[at + e] : T(0.f);
      }
      piece[i] = mask.get(at, count, whole && count == kPiece);
    }
  }
  __device__ void store(T* shared) const {
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const int index = threadIdx.x + i * kThreads;
      if (kPieces % kThreads != 0 && index >= kPieces) break;
      Pack<T, kPiece> masked = value[i];
      Mask::apply(piece[i], masked);
#pragma unroll
      for (int e = 0; e < kPiece; ++e) masked.at[e] = Math::stored(masked.at[e]);
      *reinterpret_cast<Pack<T, kPiece>*>(shared + index / (kLength / kPiece) * kPitch +
                                          index % (kLength / kPiece) * kPiece) = masked;
    }
  }
  // Of row (or column) i and contracted index k.
  __device__ static int at(int i, int k) { return kDeep ? i * kPitch + k : k * kPitch + i; }
};

// The products of one warp: kRows×kColumns of the block's, from slices in shared memory.
template <class Math, int kRows, int kColumns, class SliceA, class SliceB>
struct Products;

template <class T, int kRows, int kColumns, class SliceA, class SliceB>
struct Products<Exact<T>, kRows, kColumns, SliceA, SliceB> {
  static constexpr int kDown = kRows / 4, kAcross = kColumns / 8;
  wide_t<T> sum[kDown][kAcross] = {};

  __device__ void add(const T* a, const T* b, int row, int column) {
    const int lane = threadIdx.x & 31;
    row += lane / 8, column += lane % 8;
#pragma unroll 4
    for (int k = 0; k < kSlice; ++k) {
      wide_t<T> left[kDown], right[kAcross];
#pragma unroll
      for (int i = 0; i < kDown; ++i) left[i] = widen(a[SliceA::at(row + 4 * i, k)]);
#pragma unroll
      for (int j = 0; j < kAcross; ++j) right[j] = widen(b[SliceB::at(column + 8 * j, k)]);
#pragma unroll
      for (int i = 0; i < kDown; ++i)
#pragma unroll
        for (int j = 0; j < kAcross; ++j) sum[i][j] += left[i] * right[j];
    }
  }
  // put(row, column, value) for each.
  template <class Put>
  __device__ void each(int row, int column, Put put) const {
    const int lane = threadIdx.x & 31;
#pragma unroll
    for (int i = 0; i < kDown; ++i)
#pragma unroll
      for (int j = 0; j < kAcross; ++j) put(row + lane / 8 + 4 * i, column + lane % 8 + 8 * j, sum[i][j]);
  }
};

// On tensor cores: accumulators of 16×8.
template <int kRows, int kColumns>
struct Fragments {
  static constexpr int kDown = kRows / 16, kAcross = kColumns / 8;
  float sum[kDown][kAcross][4] = {};

  template <class Put>
  __device__ void each(int row, int column, Put put) const {
    const int g = (threadIdx.x & 31) / 4, t = threadIdx.x & 3;
#pragma unroll
    for (int i = 0; i < kDown; ++i)
#pragma unroll
      for (int j = 0; j < kAcross; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e) put(row + 16 * i + g + 8 * (e / 2), column + 8 * j + 2 * t + e % 2, sum[i][j][e]);
  }
};

template <int kRows, int kColumns, class SliceA, class SliceB>
struct Products<Tf32, kRows, kColumns, SliceA, SliceB> : Fragments<kRows, kColumns> {
  using Base = Fragments<kRows, kColumns>;
  __device__ void add(const float* a, const float* b, int row, int column) {
    const int g = (threadIdx.x & 31) / 4, t = threadIdx.x & 3;
#pragma unroll
    for (int k = 0; k < kSlice; k += 8) {
      uint32_t left[Base::kDown][4];
#pragma unroll
      for (int i = 0; i < Base::kDown; ++i)
#pragma unroll
        for (int e = 0; e < 4; ++e)
          left[i][e] = __float_as_uint(a[SliceA::at(row + 16 * i + g + 8 * (e % 2), k + t + 4 * (e / 2))]);
#pragma unroll
      for (int j = 0; j < Base::kAcross; ++j) {
        const uint32_t b0 = __float_as_uint(b[SliceB::at(column + 8 * j + g, k + t)]);
        const uint32_t b1 = __float_as_uint(b[SliceB::at(column + 8 * j + g, k + t + 4)]);
#pragma unroll
        for (int i = 0; i < Base::kDown; ++i) ptx::mma_tf32(this->sum[i][j], left[i], b0, b1);
      }
    }
  }
};

template <class T, int kRows, int kColumns, class SliceA, class SliceB>
struct Products<Half<T>, kRows, kColumns, SliceA, SliceB> : Fragments<kRows, kColumns> {
  using Base = Fragments<kRows, kColumns>;
  // The 16×16 of rows i and contracted indices k as four matrices: those of i first where `down`, else those of k.
  template <class S>
  __device__ static void fragment(uint32_t (&to)[4], const T* shared, int i, int k, bool down) {
    const int lane = threadIdx.x & 31, in_matrix = lane % 8, second = lane / 8 % 2 * 8, third = lane / 16 * 8;
    i += down ? second : third, k += down ? third : second;
    // A line of a matrix is along memory; where that is not along the contracted dimension, it is turned.
    if (S::at(0, 1) == 1) ptx::load_matrix4(to, ptx::shared_address(shared + S::at(i + in_matrix, k)));
    else ptx::load_matrix4_transposed(to, ptx::shared_address(shared + S::at(i, k + in_matrix)));
  }
  __device__ void add(const T* a, const T* b, int row, int column) {
#pragma unroll
    for (int k = 0; k < kSlice; k += 16) {
      uint32_t left[Base::kDown][4];
#pragma unroll
      for (int i = 0; i < Base::kDown; ++i) fragment<SliceA>(left[i], a, row + 16 * i, k, true);
#pragma unroll
      for (int j = 0; j < Base::kAcross; j += 2) {
        uint32_t right[4];
        fragment<SliceB>(right, b, column + 8 * j, k, false);
#pragma unroll
        for (int i = 0; i < Base::kDown; ++i) {
          ptx::mma<T>(this->sum[i][j], left[i], right[0], right[1]);
          ptx::mma<T>(this->sum[i][j + 1], left[i], right[2], right[3]);
        }
      }
    }
  }
};

// What a launch computes. `out` lies with its columns along memory, or where kTurned, its rows; the mask of the
// result goes with it.
template <class T, class MaskA, class MaskOut>
struct Job {
  Operand<T> a, b;
  int64_t rows, columns, depth;
  T* out;
  int64_t ld;
  const T* bias;  // one for each row, or none
  MaskA mask;
  MaskOut mask_out;
  bool whole_a, whole_b;  // whether pieces of 16 bytes can be read at once
};

// Two slices of each operand.
template <class Math, int kRows, int kColumns, bool kDeepA, bool kDeepB>
constexpr int kSharedBytes = 2 * (Slice < Math, kDeepA ? kRows : kSlice, kDeepA ? kSlice : kRows, kDeepA, 32,
                                  NoMask > ::kBytes + Slice < Math, kDeepB ? kColumns : kSlice,
                                  kDeepB ? kSlice : kColumns, kDeepB, 32, NoMask > ::kBytes);

template <class Math, int kRows, int kColumns, int kDown, int kAcross, bool kDeepA, bool kDeepB, bool kTurned,
          class MaskA, class MaskOut, class Walk>
__global__ void __launch_bounds__(kDown* kAcross * 32)
    sparse_gemm_kernel(const Job<typename Math::Element, MaskA, MaskOut> job, const Walk walk) {
  using T = typename Math::Element;
  constexpr int kThreads = kDown * kAcross * 32;
  using A = Slice<Math, kDeepA ? kRows : kSlice, kDeepA ? kSlice : kRows, kDeepA, kThreads, MaskA>;
  using B = Slice<Math, kDeepB ? kColumns : kSlice, kDeepB ? kSlice : kColumns, kDeepB, kThreads, NoMask>;
  static_assert(2 * (A::kBytes + B::kBytes) == kSharedBytes<Math, kRows, kColumns, kDeepA, kDeepB>);
  extern __shared__ __align__(16) unsigned char shared[];

  Place place;
  if (!walk.place(place)) return;
  A a;
  B b;
  const auto load = [&](int64_t i) {
    const int64_t k = walk.slice(place, i);
    a.load(job.a, job.mask, job.whole_a, kDeepA ? place.row : k, kDeepA ? k : place.row, kDeepA ? job.rows : job.depth,
           kDeepA ? job.depth : job.rows);
    b.load(job.b, {}, job.whole_b, kDeepB ? place.column : k, kDeepB ? k : place.column,
           kDeepB ? job.columns : job.depth, kDeepB ? job.depth : job.columns);
  };

  const int warp = threadIdx.x / 32;
  const int row = warp / kAcross * (kRows / kDown), column = warp % kAcross * (kColumns / kAcross);
  Products<Math, kRows / kDown, kColumns / kAcross, A, B> products;
  if (place.slices > 0) load(0);
  for (int64_t i = 0; i < place.slices; ++i) {
    T* const a_at = reinterpret_cast<T*>(shared + i % 2 * (A::kBytes + B::kBytes));
    T* const b_at = a_at + A::kBytes / sizeof(T);
    a.store(a_at);
    b.store(b_at);
    __syncthreads();  // of two buffers: nobody is further behind than the products before these
    if (i + 1 < place.slices) load(i + 1);
    products.add(a_at, b_at, row, column);
  }

  products.each(row, column, [&](int r, int c, auto value) {
    const int64_t i = place.row + r, j = place.column + c;
    if (i >= job.rows || j >= job.columns) return;
    const int64_t at = kTurned ? j * job.ld + i : i * job.ld + j;
    if (job.bias != nullptr) value += widen(job.bias[i]);
    Pack<T, 1> one{narrow<T>(value)};
    MaskOut::apply(job.mask_out.get(at, 1, true), one);
    job.out[at] = one.at[0];
  });
}

// Whether pieces of 16 bytes of a matrix can be read at once.
template <class T>
bool whole_pieces(const Operand<T>& operand) {
  return reinterpret_cast<uintptr_t>(operand.data) % 16 == 0 && operand.ld * sizeof(T) % 16 == 0;
}

template <class Math, int kRows, int kColumns, int kDown, int kAcross, class MaskA, class MaskOut, class Walk>
void sparse_gemm(bool deep_a, bool deep_b, bool turned, Job<typename Math::Element, MaskA, MaskOut> job,
                 const Walk& walk, int64_t blocks, const char* name) {
  if (blocks <= 0) return;
  if (blocks >= int64_t{1} << 31) fail(ESPALIER_INVALID_ARGUMENT, "the product is too large");
  job.whole_a = whole_pieces(job.a);
  job.whole_b = whole_pieces(job.b);
  const auto go = [&]<bool kDeepA, bool kDeepB, bool kTurned>(std::bool_constant<kDeepA>, std::bool_constant<kDeepB>,
                                                              std::bool_constant<kTurned>) {
    constexpr int kShared = kSharedBytes<Math, kRows, kColumns, kDeepA, kDeepB>;
    const auto kernel =
        sparse_gemm_kernel<Math, kRows, kColumns, kDown, kAcross, kDeepA, kDeepB, kTurned, MaskA, MaskOut, Walk>;
    if (kShared > 48 * 1024)
      ESPALIER_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kShared));
    kernel<<<static_cast<unsigned>(blocks), kDown * kAcross * 32, kShared, stream()>>>(job, walk);
    launched(name);
  };
  // A linear layer's products, and those of matrices stored as they are written.
  constexpr std::true_type yes;
  constexpr std::false_type no;
  if constexpr (MaskOut::kPresent) {
    deep_a ? go(yes, yes, no) : go(no, no, no);
  } else if (turned) {
    deep_a ? go(yes, yes, yes) : go(no, yes, yes);
  } else if (deep_b) {
    go(yes, yes, no);
  } else {
    deep_a ? go(yes, no, no) : go(no, no, no);
  }
}

}  // namespace espalier::cuda::sparse
