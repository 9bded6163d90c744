// Forward and data gradient over the two views; see conv_plan.h.

// The input rows of a band, spread into segments. `band` was zero before its first use, and what lies
// left and right of the image no band writes.
template <class T>
void copy_band(const Correlation& c, const Band& plan, const T* x, int64_t first_row, T* band) {
  const int64_t stride = c.columns.stride;
  for (int64_t segment = 0; segment < plan.segments; ++segment) {
    // Place j of a segment is column zero + j·stride, for the j where there is one.
    const int64_t zero = c.columns.lowest + segment;
    const int64_t begin = zero >= 0 ? 0 : (-zero + stride - 1) / stride;
    int64_t end = zero >= c.columns.in ? 0 : (c.columns.in - 1 - zero) / stride + 1;
    if (end > plan.pitch) end = plan.pitch;
    if (begin >= end) continue;
    const int64_t length = end - begin;
    for (int64_t channel = 0; channel < c.in; ++channel) {
      T* to = band + channel * plan.channel() + segment * plan.pitch + begin;
      for (int64_t row = 0; row < plan.rows; ++row, to += plan.row()) {
        const int64_t at = first_row + row;
        if (at < 0 || at >= c.rows.in) {
          for (int64_t j = 0; j < length; ++j) to[j] = T{0};
          continue;
        }
        const T* const from = x + (channel * c.rows.in + at) * c.columns.in + zero + begin * stride;
        if (stride == 1) {
          int64_t j = 0;
          for (; j + kLanes<T> <= length; j += kLanes<T>) store<T>(to + j, load<T>(from + j));
          if (j < length) store_first<T>(to + j, load_first<T>(from + j, length - j), length - j);
        } else {
          for (int64_t j = 0; j < length; ++j) to[j] = from[j * stride];
        }
      }
    }
  }
}

template <class T>
void correlate_rows(const Correlation& c, const RowsPlan& plan, const T* x, const T* weight, const T* bias, bool relu,
                    T* y) {
  T* const packed = scratch<T>(Scratch::kPackA, c.groups * c.out * c.depth());
  for (int64_t group = 0; group < c.groups; ++group)
    pack_weights<T>(c, weight + group * c.weight_group, kMostRows, packed + group * c.out * c.depth());
  const int64_t tasks = c.n * c.groups * plan.bands;
  const int64_t cost = static_cast<int64_t>(plan.steps.size()) * plan.parts[0].vectors * c.out;
  const int64_t grain = 1 + kConvGrain / (cost + 1);
  parallel_ranges(tasks, grain, [&](int64_t task, int64_t last) {
    T* const in = scratch<T>(Scratch::kColumns, c.in * plan.channel());
    std::memset(in, 0, static_cast<size_t>(c.in * plan.channel()) * sizeof(T));
    for (; task < last; ++task) {
      const int64_t band = task % plan.bands, plane = task / plan.bands, group = plane % c.groups;
      const int64_t first = band * plan.band;
      copy_band<T>(c, plan, x + plane * c.in * c.in_plane(), first * c.rows.stride + c.rows.lowest, in);
      run_plan<T>(c, plan, plan.spread, in, packed + group * c.out * c.depth(), bias ? bias + group * c.out : nullptr,
                  relu, y + plane * c.out * c.out_plane() + first * c.rows.step * c.columns.out, c.out_plane(),
                  [&](const Part& part) {
                    const int64_t rows = c.rows.lattice(part.phase) - first;
                    return (rows < plan.band ? (rows > 0 ? rows : 0) : plan.band) * part.per_row;
                  });
    }
  });
}

// `images` (at most kLanes) rows of `count` values, `pitch` apart, to [place][kLanes]; zeros for the
// images that are missing. Value i goes to place places[i], or i.
template <class T>
void images_inside(const T* from, int64_t images, int64_t pitch, int64_t count, const int32_t* places, T* to) {
  for (int64_t i = 0; i < count; i += kLanes<T>) {
    const int64_t width = count - i < kLanes<T> ? count - i : kLanes<T>;
    Vec<T> v[kLanes<T>];
    if (images == kLanes<T> && width == kLanes<T>) {
#pragma GCC unroll 16
      for (int r = 0; r < kLanes<T>; ++r) v[r] = load<T>(from + r * pitch + i);
    } else {
#pragma GCC unroll 16
      for (int r = 0; r < kLanes<T>; ++r) v[r] = r < images ? load_first<T>(from + r * pitch + i, width) : Vec<T>{};
    }
    transpose<T>(v);
#pragma GCC unroll 16
    for (int r = 0; r < kLanes<T>; ++r)
      if (r < width) store<T>(to + (places ? places[i + r] : i + r) * kLanes<T>, v[r]);
  }
}

// And back, from [count][kLanes].
template <class T>
void images_outside(const T* from, int64_t images, int64_t pitch, int64_t count, T* to) {
  for (int64_t i = 0; i < count; i += kLanes<T>) {
    const int64_t width = count - i < kLanes<T> ? count - i : kLanes<T>;
    Vec<T> v[kLanes<T>];
#pragma GCC unroll 16
    for (int r = 0; r < kLanes<T>; ++r) v[r] = r < width ? load<T>(from + (i + r) * kLanes<T>) : Vec<T>{};
    transpose<T>(v);
    if (images == kLanes<T> && width == kLanes<T>) {
#pragma GCC unroll 16
      for (int r = 0; r < kLanes<T>; ++r) store<T>(to + r * pitch + i, v[r]);
    } else {
#pragma GCC unroll 16
      for (int r = 0; r < kLanes<T>; ++r)
        if (r < images) store_first<T>(to + r * pitch + i, v[r], width);
    }
  }
}

template <class T>
void correlate_images(const Correlation& c, const Plan& plan, const T* x, const T* weight, const T* bias, bool relu,
                      T* y) {
  T* const packed = scratch<T>(Scratch::kPackA, c.groups * c.out * c.depth());
  for (int64_t group = 0; group < c.groups; ++group)
    pack_weights<T>(c, weight + group * c.weight_group, kMostRows, packed + group * c.out * c.depth());
  const int64_t in_size = c.in * c.in_plane(), out_size = c.out * c.out_plane();
  int64_t cost = in_size + out_size;
  for (const Part& part : plan.parts) cost += part.steps * part.vectors * c.out;
  const int64_t blocks = (c.n + kLanes<T> - 1) / kLanes<T>;
  parallel_ranges(blocks * c.groups, 1 + kConvGrain / cost, [&](int64_t task, int64_t last) {
    T* const in = scratch<T>(Scratch::kColumns, in_size * kLanes<T>);
    T* const out = scratch<T>(Scratch::kPartial, out_size * kLanes<T>);
    for (; task < last; ++task) {
      const int64_t group = task % c.groups, image = task / c.groups * kLanes<T>;
      const int64_t images = c.n - image < kLanes<T> ? c.n - image : kLanes<T>;
      images_inside<T>(x + (image * c.groups + group) * in_size, images, c.groups * in_size, in_size, nullptr, in);
      run_plan<T>(c, plan, 1, in, packed + group * c.out * c.depth(), bias ? bias + group * c.out : nullptr, relu, out,
                  c.out_plane() * kLanes<T>, [](const Part& part) { return part.vectors; });
      images_outside<T>(out, images, c.groups * out_size, out_size, y + (image * c.groups + group) * out_size);
    }
  });
}
