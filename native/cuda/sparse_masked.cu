// Masked products: dense ones of mask∘W, to which the mask is applied on the way of W from registers to shared
// memory, or to the weight gradient as it is written. Masks travel as bits: a byte per element would add half of
// what W itself costs to read.
#include "cuda/sparse_masked.cuh"

#include "cuda/sparse_gemm.cuh"

using namespace espalier;
using namespace espalier::cuda;
using namespace espalier::cuda::sparse;

namespace {

template <class M>
__device__ bool counts(M element) {
  if constexpr (std::is_same_v<M, uint8_t>) return element != 0;
  else return widen(element) != 0;
}

template <class M>
void pack_bits(const M* mask, int64_t n, uint32_t* words) {
  constexpr int kPiece = 16 / sizeof(M);
  const bool whole = reinterpret_cast<uintptr_t>(mask) % 16 == 0;
  for_each(ceil_div(n, 32), "pack mask", [=] __device__(int64_t word) {
    uint32_t bits = 0;
    if (whole && 32 * word + 32 <= n) {
#pragma unroll
      for (int i = 0; i < 32 / kPiece; ++i) {
        const Pack<M, kPiece> piece = *reinterpret_cast<const Pack<M, kPiece>*>(mask + 32 * word + i * kPiece);
#pragma unroll
        for (int e = 0; e < kPiece; ++e) bits |= uint32_t{counts(piece.at[e])} << (i * kPiece + e);
      }
    } else {
      for (int i = 0; i < 32 && 32 * word + i < n; ++i) bits |= uint32_t{counts(mask[32 * word + i])} << i;
    }
    words[word] = bits;
  });
}

void pack_bits(espalier_in mask, uint32_t* words) {
  if (mask.dtype == ESPALIER_UINT8) return pack_bits(elements<uint8_t>("mask", mask, mask.length), mask.length, words);
  for_device_float("mask", mask.dtype,
                   [&]<class M>(M) { pack_bits(elements<M>("mask", mask, mask.length), mask.length, words); });
}

// The mask of m×k as bits, packed here where the caller has not.
class Bits {
 public:
  Bits(espalier_in mask, espalier_dtype of_weight, int64_t count)
      : packed_(mask.dtype == ESPALIER_INT32 ? 0 : ceil_div(count, 32)), words_(packed_.get()) {
    if (mask.dtype == ESPALIER_INT32) {
      words_ = reinterpret_cast<const uint32_t*>(elements<int32_t>("mask", mask, ceil_div(count, 32)));
      return;
    }
    if (mask.dtype != ESPALIER_UINT8 && mask.dtype != of_weight)
      fail(ESPALIER_DTYPE_MISMATCH, "mask is %s, expected uint8, int32 or %s", dtype_name(mask.dtype),
           dtype_name(of_weight));
    if (mask.length != count)
      fail(ESPALIER_SHAPE_MISMATCH, "mask has %lld elements, expected %lld", static_cast<long long>(mask.length),
           static_cast<long long>(count));
    pack_bits(mask, packed_.get());
  }
  const uint32_t* words() const { return words_; }

 private:
  Temporary<uint32_t> packed_;
  const uint32_t* words_;
};

void require_masked(const espalier_cuda_masked& shape) {
  constexpr int64_t kMost = int64_t{1} << 40;
  require_range("m", shape.m, int64_t{0}, kMost);
  require_range("k", shape.k, int64_t{0}, kMost);
  require_range("n", shape.n, int64_t{0}, kMost);
  require_range("batch_major", shape.batch_major, int64_t{0}, int64_t{1});
}

// Every slice of the contracted dimension.
struct AllWalk {
  int64_t down, across, block_rows, block_columns, depth;

  __device__ bool place(Place& at) const {
    const Corner corner = corner_of(blockIdx.x, down, across, block_rows, block_columns);
    at.row = corner.row, at.column = corner.column;
    at.slices = (depth + kSlice - 1) / kSlice;
    return true;
  }
  __device__ static int64_t slice(const Place&, int64_t i) { return i * kSlice; }
};

template <class Math, int kRows, int kColumns, int kDown, int kAcross>
void run(const MaskedTask& task) {
  using T = typename Math::Element;
  const auto& [m, k, n, batch_major] = task.shape;
  const auto go = [&](auto job, bool deep_a, bool deep_b, bool turned) {
    job.a.data = static_cast<const T*>(task.a);
    job.b.data = static_cast<const T*>(task.b);
    job.bias = static_cast<const T*>(task.bias);
    job.out = static_cast<T*>(task.out);
    const AllWalk walk{ceil_div(job.rows, kRows), ceil_div(job.columns, kColumns), kRows, kColumns, job.depth};
    sparse_gemm<Math, kRows, kColumns, kDown, kAcross>(deep_a, deep_b, turned, job, walk, walk.down * walk.across,
                                                       "masked product");
  };
  if (task.product == MaskedProduct::kWeightGrad) {
    Job<T, NoMask, BitMask> job{};
    job.rows = m, job.columns = k, job.depth = n, job.ld = k;
    job.a.ld = batch_major ? m : n;
    job.b.ld = batch_major ? k : n;
    job.mask_out.words = task.bits;
    return go(job, !batch_major, !batch_major, false);
  }
  const bool forward = task.product == MaskedProduct::kForward;
  Job<T, BitMask, NoMask> job{};
  job.rows = forward ? m : k, job.columns = n, job.depth = forward ? k : m;
  job.a.ld = k;
  job.b.ld = batch_major ? job.depth : n;
  job.ld = batch_major ? job.rows : n;
  job.mask.words = task.bits;
  go(job, forward, batch_major != 0, batch_major != 0);
}

void run(const MaskedTask& task, espalier_dtype dtype) {
  if (run_masked_hopper(task, dtype)) return;
  switch (dtype) {
    case ESPALIER_FLOAT16: return run<Half<__half>, 128, 128, 2, 4>(task);
    case ESPALIER_BFLOAT16: return run<Half<__nv_bfloat16>, 128, 128, 2, 4>(task);
    case ESPALIER_FLOAT64: return run<Exact<double>, 32, 32, 2, 2>(task);
    default:
      return precision() == Precision::kFloat32 ? run<Exact<float>, 64, 128, 2, 4>(task)
                                                : run<Tf32, 128, 128, 2, 4>(task);
  }
}

}  // namespace

espalier_status espalier_cuda_masked_pack(espalier_in mask, espalier_out words) {
  return guarded(__func__, [&] {
    int32_t* const to = elements<int32_t>("words", words, ceil_div(mask.length, 32));
    pack_bits(mask, reinterpret_cast<uint32_t*>(to));
  });
}

espalier_status espalier_cuda_masked_forward(espalier_in weight, espalier_in mask, espalier_in x, espalier_in bias,
                                             espalier_out y, espalier_cuda_masked shape) {
  return guarded(__func__, [&] {
    require_masked(shape);
    const auto& [m, k, n, batch_major] = shape;
    for_device_float("weight", weight.dtype, [&]<class T>(T) {
      MaskedTask task{MaskedProduct::kForward,
                      shape,
                      elements<T>("weight", weight, checked_product("weight", {m, k})),
                      elements<T>("x", x, checked_product("x", {k, n})),
                      optional_elements<T>("bias", bias, m),
                      elements<T>("y", y, checked_product("y", {m, n})),
                      nullptr};
      const Bits bits(mask, weight.dtype, m * k);
      task.bits = bits.words();
      run(task, weight.dtype);
    });
  });
}

espalier_status espalier_cuda_masked_data_grad(espalier_in weight, espalier_in mask, espalier_in dy, espalier_out dx,
                                               espalier_cuda_masked shape) {
  return guarded(__func__, [&] {
    require_masked(shape);
    const auto& [m, k, n, batch_major] = shape;
    for_device_float("weight", weight.dtype, [&]<class T>(T) {
      MaskedTask task{MaskedProduct::kDataGrad,
                      shape,
                      elements<T>("weight", weight, checked_product("weight", {m, k})),
                      elements<T>("dy", dy, checked_product("dy", {m, n})),
                      nullptr,
                      elements<T>("dx", dx, checked_product("dx", {k, n})),
                      nullptr};
      const Bits bits(mask, weight.dtype, m * k);
      task.bits = bits.words();
      run(task, weight.dtype);
    });
  });
}

espalier_status espalier_cuda_masked_weight_grad(espalier_in x, espalier_in dy, espalier_in mask, espalier_out dweight,
                                                 espalier_cuda_masked shape) {
  return guarded(__func__, [&] {
    require_masked(shape);
    const auto& [m, k, n, batch_major] = shape;
    for_device_float("x", x.dtype, [&]<class T>(T) {
      MaskedTask task{MaskedProduct::kWeightGrad,
                      shape,
                      elements<T>("dy", dy, checked_product("dy", {m, n})),
                      elements<T>("x", x, checked_product("x", {k, n})),
                      nullptr,
                      elements<T>("dweight", dweight, checked_product("dweight", {m, k})),
                      nullptr};
      const Bits bits(mask, x.dtype, m * k);
      task.bits = bits.words();
      run(task, x.dtype);
    });
  });
}
