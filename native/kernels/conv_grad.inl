// The weight's gradient: lanes are places (or images), so every product adds to the lane of its place
// and the lanes are added up at the end of a block. Both operands are vectors, neither is turned.

// A tile is R output channels by grad_columns(R) elements of the kernel: near square, for few loads a
// product, within the registers; nine for few channels, since kernels are often 3×3.
constexpr int kMostGradRows = kRegisters == 32 ? 8 : 4;
constexpr int grad_columns(int rows) {
  constexpr int kWide[] = {0, 9, 9, 9, 6, 5, 4, 3, 3}, kNarrow[] = {0, 9, 6, 4, 3};
  return kRegisters == 32 ? kWide[rows] : kNarrow[rows < 4 ? rows : 4];
}
// What a tile's sums take: whole vectors.
template <class T>
constexpr int64_t grad_tile_size(int rows) {
  return (rows * grad_columns(rows) + kLanes<T> - 1) / kLanes<T> * kLanes<T>;
}
// Elements of the sums of all tiles of `rows` channels.
template <class T>
ESPALIER_INLINE int64_t grad_row_size(int64_t rows, int64_t depth) {
  const int64_t columns = grad_columns(static_cast<int>(rows));
  return (depth + columns - 1) / columns * grad_tile_size<T>(static_cast<int>(rows));
}

// One tile of R channels, dy [vectors][R][lanes], with every element of the kernel; adds to sums.
template <class T, int R>
void grad_pass(const GradPlan& plan, int64_t depth, const T* in, const T* dy, T* sums) {
  constexpr int Q = grad_columns(R), N = R * Q;
  const int64_t* const offsets = plan.offsets.data();
  const int64_t* const from = plan.from.data();
  const int64_t vectors = plan.vectors;
  for (int64_t first = 0; first < depth; first += Q, sums += grad_tile_size<T>(R)) {
    const T* x[Q];
#pragma GCC unroll 16
    for (int q = 0; q < Q; ++q) x[q] = in + offsets[first + q < depth ? first + q : depth - 1];
    Vec<T> sum[N];
#pragma GCC unroll 32
    for (int i = 0; i < N; ++i) sum[i] = Vec<T>{};
    const T* d = dy;
    for (int64_t v = 0; v < vectors; ++v, d += R * kLanes<T>) {
      const int64_t at = from[v];
      if constexpr (R < Q) {
        Vec<T> left[R];
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) left[r] = load<T>(d + r * kLanes<T>);
#pragma GCC unroll 16
        for (int q = 0; q < Q; ++q) {
          const Vec<T> right = in_register<T>(load<T>(x[q] + at));
#pragma GCC unroll 16
          for (int r = 0; r < R; ++r) sum[r * Q + q] = fma<T>(left[r], right, sum[r * Q + q]);
        }
      } else {
        Vec<T> right[Q];
#pragma GCC unroll 16
        for (int q = 0; q < Q; ++q) right[q] = load<T>(x[q] + at);
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) {
          const Vec<T> left = in_register<T>(load<T>(d + r * kLanes<T>));
#pragma GCC unroll 16
          for (int q = 0; q < Q; ++q) sum[r * Q + q] = fma<T>(left, right[q], sum[r * Q + q]);
        }
      }
    }
    sum_lanes_of_each<T, N>(sum);
    for (int i = 0; i < static_cast<int>(grad_tile_size<T>(R)) / kLanes<T>; ++i)
      store<T>(sums + i * kLanes<T>, load<T>(sums + i * kLanes<T>) + sum[i]);
  }
}

template <class T>
void run_grad_pass(int64_t rows, const GradPlan& plan, int64_t depth, const T* in, const T* dy, T* sums) {
  switch (rows) {
    case 1: return grad_pass<T, 1>(plan, depth, in, dy, sums);
    case 2: return grad_pass<T, 2>(plan, depth, in, dy, sums);
    case 3: return grad_pass<T, 3>(plan, depth, in, dy, sums);
    case 4: return grad_pass<T, 4>(plan, depth, in, dy, sums);
  }
  if constexpr (kMostGradRows > 4) {
    switch (rows) {
      case 5: return grad_pass<T, 5>(plan, depth, in, dy, sums);
      case 6: return grad_pass<T, 6>(plan, depth, in, dy, sums);
      case 7: return grad_pass<T, 7>(plan, depth, in, dy, sums);
      case 8: return grad_pass<T, 8>(plan, depth, in, dy, sums);
    }
  }
}

// The input and dy of band `index` (of all images) as plane `plane` of a block; zeros past the last.
template <class T>
void fill_rows_plane(const Correlation& c, const GradPlan& plan, int64_t group, int64_t index, int64_t plane,
                     const T* x, const T* dy, T* in, T* left) {
  const RowsPlan& band = plan.band;
  const int64_t image = index / band.bands, first = index % band.bands * band.band;
  const int64_t vectors = plan.vectors / plan.planes, tiles = tile_count(c.out, kMostGradRows);
  int64_t present = 0;
  if (image < c.n) {
    present = (c.rows.out - first < band.band ? c.rows.out - first : band.band) * band.parts[0].per_row;
    copy_band<T>(c, band, x + (image * c.groups + group) * c.in * c.in_plane(), first * c.rows.stride + c.rows.lowest,
                 in + plane * plan.plane_size);
  } else {
    std::memset(in + plane * plan.plane_size, 0, static_cast<size_t>(plan.plane_size) * sizeof(T));
  }
  const T* const out = dy + (image * c.groups + group) * c.out * c.out_plane() + first * c.columns.out;
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const int64_t begin = tile_begin(tile, tiles, c.out), rows = tile_begin(tile + 1, tiles, c.out) - begin;
    T* const to = left + (begin * plan.vectors + plane * vectors * rows) * kLanes<T>;
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t v = 0; v < vectors; ++v) {
        const T* const at = out + (begin + r) * c.out_plane() + band.to[v];
        store<T>(to + (v * rows + r) * kLanes<T>, v >= present                 ? Vec<T>{}
                                                  : band.lanes[v] == kLanes<T> ? load<T>(at)
                                                                               : load_first<T>(at, band.lanes[v]));
      }
  }
}

// The same for kLanes images. `places` is working memory.
template <class T>
void fill_images_plane(const Correlation& c, const GradPlan& plan, int64_t group, int64_t index, int64_t plane,
                       const T* x, const T* dy, T* in, T* left, int32_t* places) {
  const int64_t image = index * kLanes<T>, tiles = tile_count(c.out, kMostGradRows);
  const int64_t images = image >= c.n ? 0 : c.n - image < kLanes<T> ? c.n - image : kLanes<T>;
  const int64_t in_size = c.in * c.in_plane(), pixels = c.out_plane();
  images_inside<T>(x + (image * c.groups + group) * in_size, images, c.groups * in_size, in_size, plan.places.data(),
                   in + plane * plan.plane_size);
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const int64_t begin = tile_begin(tile, tiles, c.out), rows = tile_begin(tile + 1, tiles, c.out) - begin;
    for (int64_t r = 0, i = 0; r < rows; ++r)
      for (int64_t pixel = 0; pixel < pixels; ++pixel, ++i) places[i] = static_cast<int32_t>(pixel * rows + r);
    images_inside<T>(dy + ((image * c.groups + group) * c.out + begin) * pixels, images, c.groups * c.out * pixels,
                     rows * pixels, places, left + (begin * plan.vectors + plane * pixels * rows) * kLanes<T>);
  }
}

// Chunks of the batch add up apart and are then added in order, however many threads there are. `work` is in vector
// products, `size` what the sums of a chunk take.
ESPALIER_INLINE int64_t grad_chunks(int64_t blocks, int64_t work, int64_t size) {
  constexpr int64_t kMostChunks = 16, kMostSums = 1 << 23;
  int64_t chunks = 1 + work / (8 * kConvGrain);
  if (chunks > kMostChunks) chunks = kMostChunks;
  if (chunks > blocks) chunks = blocks;
  while (chunks > 1 && chunks * size > kMostSums) --chunks;
  return chunks;
}

template <class T>
void weight_grad(const Correlation& c, const GradPlan& plan, const T* x, const T* dy, T* dweight) {
  const int64_t depth = c.depth(), tiles = tile_count(c.out, kMostGradRows);
  int64_t size = 0;  // of the sums of a group
  for (int64_t tile = 0; tile < tiles; ++tile)
    size += grad_row_size<T>(tile_begin(tile + 1, tiles, c.out) - tile_begin(tile, tiles, c.out), depth);

  const int64_t planes = plan.images ? (c.n + kLanes<T> - 1) / kLanes<T> : c.n * plan.band.bands;
  const int64_t blocks = (planes + plan.planes - 1) / plan.planes;
  const int64_t chunks = grad_chunks(blocks, blocks * plan.vectors * depth * c.out, c.groups * size);
  T* const all_sums = scratch<T>(Scratch::kPackB, c.groups * chunks * size);

  const int64_t cost = plan.vectors * depth * c.out * (blocks / chunks);
  parallel_ranges(c.groups * chunks, 1 + kConvGrain / (cost + 1), [&](int64_t task, int64_t last) {
    T* const in = scratch<T>(Scratch::kColumns, plan.planes * plan.plane_size);
    T* const left = scratch<T>(Scratch::kOther, plan.vectors * c.out * kLanes<T>);
    int32_t* const places = scratch<int32_t>(Scratch::kIndex, kMostGradRows * c.out_plane());
    // The zeros around the images; what else stands here every block overwrites.
    std::memset(in, 0, static_cast<size_t>(plan.planes * plan.plane_size) * sizeof(T));
    for (; task < last; ++task) {
      const int64_t group = task / chunks, chunk = task % chunks;
      T* const sums = all_sums + task * size;
      std::memset(sums, 0, static_cast<size_t>(size) * sizeof(T));
      for (int64_t block = chunk * blocks / chunks; block < (chunk + 1) * blocks / chunks; ++block) {
        for (int64_t plane = 0; plane < plan.planes; ++plane) {
          const int64_t index = block * plan.planes + plane;
          if (plan.images) fill_images_plane<T>(c, plan, group, index, plane, x, dy, in, left, places);
          else fill_rows_plane<T>(c, plan, group, index, plane, x, dy, in, left);
        }
        T* to = sums;
        for (int64_t tile = 0; tile < tiles; ++tile) {
          const int64_t begin = tile_begin(tile, tiles, c.out), rows = tile_begin(tile + 1, tiles, c.out) - begin;
          run_grad_pass<T>(rows, plan, depth, in, left + begin * plan.vectors * kLanes<T>, to);
          to += grad_row_size<T>(rows, depth);
        }
      }
    }
  });

  for (int64_t group = 0; group < c.groups; ++group) {
    const T* sums = all_sums + group * chunks * size;
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const int64_t begin = tile_begin(tile, tiles, c.out), rows = tile_begin(tile + 1, tiles, c.out) - begin;
      const int64_t columns = grad_columns(static_cast<int>(rows)), step = grad_tile_size<T>(static_cast<int>(rows));
      for (int64_t r = 0; r < rows; ++r) {
        T* const to = dweight + (group * c.out + begin + r) * depth;
        for (int64_t first = 0; first < depth; first += columns)
          for (int64_t q = 0; q < columns && first + q < depth; ++q) {
            const T* const at = sums + first / columns * step + r * columns + q;
            T total = at[0];
            for (int64_t chunk = 1; chunk < chunks; ++chunk) total += at[chunk * size];
            to[first + q] = total;
          }
      }
      sums += grad_row_size<T>(rows, depth);
    }
  }
}
