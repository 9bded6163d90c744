// Block-sparse products: plans, and the kernels for every chip. Hopper's own is in sparse_tiles_hopper.cu.
#include "cuda/sparse_tiles.cuh"

#include "cuda/sparse_gemm.cuh"
#include "cuda/sparse_scan.cuh"

using namespace espalier;
using namespace espalier::cuda;
using namespace espalier::cuda::sparse;

namespace {

constexpr int kPlanThreads = 1024;

// The numbers of lists by their length, the longest first, equal ones in their order.
__device__ void sort_by_length(int count, const int32_t* start, int32_t* order) {
  for (int i = threadIdx.x; i < count; i += kPlanThreads) {
    const int own = start[i + 1] - start[i];
    int rank = 0;
    for (int j = 0; j < count; ++j) {
      const int other = start[j + 1] - start[j];
      rank += other > own || (other == own && j < i);
    }
    order[rank] = i;
  }
  __syncthreads();
}

// One block makes the whole plan: there are few tiles, and seldom a new mask.
__global__ void __launch_bounds__(kPlanThreads)
    plan_kernel(const uint8_t* mask, int rows, int columns, int blocks_per_tile, TilePlan<int32_t> plan) {
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = kPlanThreads / 32;
  const auto kept = [=](int row, int column) { return mask[int64_t{row} * columns + column] != 0; };
  // How long each list is; the lists' beginnings; the lists.
  for (int row = warp; row < rows; row += warps) {
    int count = 0;
    for (int column = lane; column < columns; column += 32) count += kept(row, column);
    count = warp_reduce(count, [](int a, int b) { return a + b; });
    if (lane == 0) plan.row_order[row] = count;
  }
  for (int column = threadIdx.x; column < columns; column += kPlanThreads) {
    int count = 0;
    for (int row = 0; row < rows; ++row) count += kept(row, column);
    plan.column_order[column] = count;
  }
  __syncthreads();
  running_sums<kPlanThreads>(rows, plan.row_start, [=](int64_t i) { return plan.row_order[i]; });
  running_sums<kPlanThreads>(columns, plan.column_start, [=](int64_t i) { return plan.column_order[i]; });
  for (int row = warp; row < rows; row += warps) {
    int at = plan.row_start[row];
    for (int base = 0; base < columns; base += 32) {
      const bool here = base + lane < columns && kept(row, base + lane);
      const unsigned found = __ballot_sync(0xffffffffu, here);
      if (here) {
        const int to = at + __popc(found & ((1u << lane) - 1));
        plan.row_columns[to] = base + lane;
        plan.tile_row[to] = row;
      }
      at += __popc(found);
    }
  }
  for (int column = threadIdx.x; column < columns; column += kPlanThreads) {
    int at = plan.column_start[column];
    for (int row = 0; row < rows; ++row)
      if (kept(row, column)) plan.column_rows[at++] = row;
  }
  __syncthreads();
  sort_by_length(rows, plan.row_start, plan.row_order);
  sort_by_length(columns, plan.column_start, plan.column_order);
  // The weight gradient's groups.
  const auto parts = [=](int row) {
    const int64_t blocks = int64_t{plan.row_start[row + 1] - plan.row_start[row]} * blocks_per_tile;
    return static_cast<int>((blocks + kSampledBlocks - 1) / kSampledBlocks);
  };
  int before = 0;  // few rows: one thread counts
  if (threadIdx.x == 0) {
    for (int row = 0; row < rows; ++row)
      for (int part = 0; part < parts(row); ++part, ++before) {
        plan.group[2 * before] = row;
        plan.group[2 * before + 1] = part;
      }
    *plan.groups = before;
    *plan.kept = plan.row_start[rows];
  }
}

// Where a product's blocks work: every row of blocks against every column of them, rows with long lists first.
struct ListWalk {
  const int32_t *start, *list, *order;
  int64_t units, unit_rows, per_tile;     // rows of blocks, their height, how many to a tile
  int64_t columns_per_block, tile_depth;  // the tile along the contracted dimension

  __device__ bool place(Place& at) const {
    const int64_t unit = blockIdx.x % units, tile = order[unit / per_tile];
    at.row = (tile * per_tile + unit % per_tile) * unit_rows;
    at.column = blockIdx.x / units * columns_per_block;
    at.first = start[tile];
    at.slices = (start[tile + 1] - at.first) * (tile_depth / kSlice);
    return true;
  }
  __device__ int64_t slice(const Place& at, int64_t i) const {
    const int64_t per_tile_slices = tile_depth / kSlice;
    return list[at.first + i / per_tile_slices] * tile_depth + i % per_tile_slices * kSlice;
  }
};

// The weight gradient's: the blocks of kept tiles.
struct SampledWalk {
  const int32_t *kept, *tile_row, *row_columns;
  int64_t side, across, per_tile;  // of a block; blocks across a tile, and in it
  int64_t tile_rows, tile_columns, depth;

  __device__ bool place(Place& at) const {
    const int64_t tile = blockIdx.x / per_tile, part = blockIdx.x % per_tile;
    if (tile >= *kept) return false;
    at.row = tile_row[tile] * tile_rows + part / across * side;
    at.column = row_columns[tile] * tile_columns + part % across * side;
    at.slices = (depth + kSlice - 1) / kSlice;
    return true;
  }
  __device__ static int64_t slice(const Place&, int64_t i) { return i * kSlice; }
};

void require_tiles(const espalier_cuda_tiles& shape) {
  const auto side = [](const char* name, int64_t tile, const char* whole_name, int64_t whole) {
    require_range(whole_name, whole, int64_t{0}, int64_t{1} << 40);
    if (tile < 32 || tile > 256 || tile % 32 != 0)
      fail(ESPALIER_INVALID_ARGUMENT, "%s is %lld, expected a multiple of 32 up to 256", name,
           static_cast<long long>(tile));
    if (whole % tile != 0)
      fail(ESPALIER_SHAPE_MISMATCH, "%s is %lld, expected a multiple of %s, %lld", whole_name,
           static_cast<long long>(whole), name, static_cast<long long>(tile));
  };
  side("tile_rows", shape.tile_rows, "m", shape.m);
  side("tile_columns", shape.tile_columns, "k", shape.k);
  require_range("n", shape.n, int64_t{0}, int64_t{1} << 40);
  require_range("batch_major", shape.batch_major, int64_t{0}, int64_t{1});
  if (checked_product("the plan", {shape.m / shape.tile_rows, shape.k / shape.tile_columns}) > int64_t{1} << 27)
    fail(ESPALIER_INVALID_ARGUMENT, "there are more than 2^27 tiles");
}

template <class Math>
void run(const TileTask& task) {
  using T = typename Math::Element;
  const auto& [m, k, n, batch_major, tile_rows, tile_columns] = task.shape;
  const TilePlan<const int32_t> plan(task.plan, task.shape);
  Job<T, NoMask, NoMask> job{};
  job.a.data = static_cast<const T*>(task.a);
  job.b.data = static_cast<const T*>(task.b);
  job.bias = static_cast<const T*>(task.bias);
  job.out = static_cast<T*>(task.out);
  // Doubles, of which fewer fit, go in blocks of 32×32.
  constexpr bool kSmall = sizeof(T) == 8;

  if (task.product == TileProduct::kWeightGrad) {
    job.rows = m, job.columns = k, job.depth = n, job.ld = k;
    job.a.ld = batch_major ? m : n;
    job.b.ld = batch_major ? k : n;
    const int64_t side = kSmall || tile_rows % 64 != 0 || tile_columns % 64 != 0 ? 32 : 64;
    const int64_t tiles = (m / tile_rows) * (k / tile_columns), per_tile = (tile_rows / side) * (tile_columns / side);
    const SampledWalk walk{plan.kept, plan.tile_row, plan.row_columns, side, tile_columns / side,
                           per_tile,  tile_rows,     tile_columns,     n};
    if constexpr (!kSmall) {
      if (side == 64)
        return sparse_gemm<Math, 64, 64, 2, 2>(!batch_major, !batch_major, false, job, walk, tiles * per_tile,
                                               "tiles weight gradient");
    }
    return sparse_gemm<Math, 32, 32, 2, 2>(!batch_major, !batch_major, false, job, walk, tiles * per_tile,
                                           "tiles weight gradient");
  }

  const bool forward = task.product == TileProduct::kForward;
  const int64_t rows = forward ? m : k, depth = forward ? k : m;
  const int64_t tile_height = forward ? tile_rows : tile_columns;
  job.rows = rows, job.columns = n, job.depth = depth;
  job.a.ld = k;
  job.b.ld = batch_major ? depth : n;
  job.ld = batch_major ? rows : n;
  ListWalk walk{};
  walk.start = forward ? plan.row_start : plan.column_start;
  walk.list = forward ? plan.row_columns : plan.column_rows;
  walk.order = forward ? plan.row_order : plan.column_order;
  walk.tile_depth = forward ? tile_columns : tile_rows;
  const auto go = [&]<int kRows, int kColumns, int kDown, int kAcross>() {
    walk.unit_rows = kRows;
    walk.units = rows / kRows;
    walk.per_tile = tile_height / kRows;
    walk.columns_per_block = kColumns;
    sparse_gemm<Math, kRows, kColumns, kDown, kAcross>(forward, batch_major != 0, batch_major != 0, job, walk,
                                                       walk.units * ceil_div(n, kColumns), "tiles");
  };
  if constexpr (kSmall) {
    go.template operator()<32, 32, 2, 2>();
  } else if (tile_height % 64 == 0) {
    go.template operator()<64, 128, 2, 4>();
  } else {
    go.template operator()<32, 128, 1, 4>();
  }
}

void run(const TileTask& task, espalier_dtype dtype) {
  if (run_tiles_hopper(task, dtype)) return;
  switch (dtype) {
    case ESPALIER_FLOAT16: return run<Half<__half>>(task);
    case ESPALIER_BFLOAT16: return run<Half<__nv_bfloat16>>(task);
    case ESPALIER_FLOAT64: return run<Exact<double>>(task);
    default: return precision() == Precision::kFloat32 ? run<Exact<float>>(task) : run<Tf32>(task);
  }
}

}  // namespace

espalier_status espalier_cuda_tiles_plan_size(espalier_cuda_tiles shape, int64_t* length) {
  return guarded(__func__, [&] {
    require_tiles(shape);
    *length = TilePlan<int32_t>::length(shape);
  });
}

espalier_status espalier_cuda_tiles_plan(espalier_in mask, espalier_out plan, espalier_cuda_tiles shape) {
  return guarded(__func__, [&] {
    require_tiles(shape);
    const int64_t rows = shape.m / shape.tile_rows, columns = shape.k / shape.tile_columns;
    const uint8_t* const kept = elements<uint8_t>("mask", mask, rows * columns);
    int32_t* const to = elements<int32_t>("plan", plan, TilePlan<int32_t>::length(shape));
    plan_kernel<<<1, kPlanThreads, 0, stream()>>>(kept, static_cast<int>(rows), static_cast<int>(columns),
                                                  static_cast<int>((shape.tile_columns + 63) / 64),
                                                  TilePlan<int32_t>(to, shape));
    launched("tiles plan");
  });
}

espalier_status espalier_cuda_tiles_forward(espalier_in weight, espalier_in plan, espalier_in x, espalier_in bias,
                                            espalier_out y, espalier_cuda_tiles shape) {
  return guarded(__func__, [&] {
    require_tiles(shape);
    for_device_float("weight", weight.dtype, [&]<class T>(T) {
      run({TileProduct::kForward, shape, elements<T>("weight", weight, checked_product("weight", {shape.m, shape.k})),
           elements<T>("x", x, checked_product("x", {shape.k, shape.n})), optional_elements<T>("bias", bias, shape.m),
           elements<T>("y", y, checked_product("y", {shape.m, shape.n})),
           elements<int32_t>("plan", plan, TilePlan<int32_t>::length(shape))},
          weight.dtype);
    });
  });
}

espalier_status espalier_cuda_tiles_data_grad(espalier_in weight, espalier_in plan, espalier_in dy, espalier_out dx,
                                              espalier_cuda_tiles shape) {
  return guarded(__func__, [&] {
    require_tiles(shape);
    for_device_float("weight", weight.dtype, [&]<class T>(T) {
      run({TileProduct::kDataGrad, shape, elements<T>("weight", weight, checked_product("weight", {shape.m, shape.k})),
           elements<T>("dy", dy, checked_product("dy", {shape.m, shape.n})), nullptr,
           elements<T>("dx", dx, checked_product("dx", {shape.k, shape.n})),
           elements<int32_t>("plan", plan, TilePlan<int32_t>::length(shape))},
          weight.dtype);
    });
  });
}

espalier_status espalier_cuda_tiles_weight_grad(espalier_in x, espalier_in dy, espalier_in plan, espalier_out dweight,
                                                espalier_cuda_tiles shape) {
  return guarded(__func__, [&] {
    require_tiles(shape);
    for_device_float("x", x.dtype, [&]<class T>(T) {
      run({TileProduct::kWeightGrad, shape, elements<T>("dy", dy, checked_product("dy", {shape.m, shape.n})),
           elements<T>("x", x, checked_product("x", {shape.k, shape.n})), nullptr,
           elements<T>("dweight", dweight, checked_product("dweight", {shape.m, shape.k})),
           elements<int32_t>("plan", plan, TilePlan<int32_t>::length(shape))},
          x.dtype);
    });
  });
}
