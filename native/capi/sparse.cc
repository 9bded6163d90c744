#include "espalier/sparse.h"

#include <algorithm>

#include "capi/sparse_common.h"
#include "core/array.h"
#include "core/handles.h"
#include "program/cost.h"
#include "sparse/cost.h"
#include "sparse/finish_grad.h"
#include "sparse/kept.h"
#include "sparse/matrix.h"

using namespace espalier;

namespace {

// Never destroyed: threads may hold matrices when the process ends.
Handles<sparse::Matrix>& matrices() {
  static auto* const made = new Handles<sparse::Matrix>("sparse matrix");
  return *made;
}

constexpr auto kRows = ESPALIER_SPARSE_LAYOUT_ROWS, kPanels = ESPALIER_SPARSE_LAYOUT_PANELS;

void require_flag(const char* name, int64_t value) { require_range(name, value, int64_t{0}, int64_t{1}); }

template <class Keeps>
int64_t made(int64_t rows, int64_t columns, const float* weight, const std::shared_ptr<const sparse::Format>& format,
             Keeps keeps) {
  return matrices().keep(std::make_shared<sparse::Matrix>(rows, columns, weight, format, keeps));
}

// Positions among `n` entries, checked.
const int32_t* kept_index(espalier_in index, int64_t n) {
  const int32_t* const at = elements<int32_t>("index", index, index.length);
  if (const int64_t i = sparse::first_out_of_order(at, index.length, n); i < index.length)
    fail(ESPALIER_INVALID_ARGUMENT, "index[%lld] is %d, expected ascending ones from 0 to %lld",
         static_cast<long long>(i), at[i], static_cast<long long>(n - 1));
  return at;
}

}  // namespace

espalier_status espalier_sparse_create(int64_t rows, int64_t columns, espalier_in weight, espalier_in mask,
                                       espalier_sparse_format format, espalier_dims parameters, int64_t* matrix) {
  return guarded(__func__, [&] {
    // Positions are int32, in the interface and in the kernels.
    const int64_t size = checked_product("weight", {rows, columns});
    require_range("size of the matrix", size, int64_t{0}, int64_t{INT32_MAX});
    require_range("rows", rows, int64_t{0}, int64_t{INT32_MAX});
    require_range("columns", columns, int64_t{0}, int64_t{INT32_MAX});
    const std::vector<int64_t> given(parameters.data, parameters.data + parameters.rank);
    std::shared_ptr<const sparse::Format> wanted;
    if (format != ESPALIER_SPARSE_FORMAT_AUTOMATIC) wanted = sparse::make_format(format, given);
    else if (!given.empty())
      fail(ESPALIER_INVALID_ARGUMENT, "parameters has %zu entries, expected 0: no format is named", given.size());
    const float* const from = elements<float>("weight", weight, size);
    if (mask.dtype == ESPALIER_UINT8 && mask.data != nullptr) {
      const uint8_t* const kept = elements<uint8_t>("mask", mask, size);
      *matrix = made(rows, columns, from, wanted, [=](int64_t i) { return kept[i] != 0; });
    } else {
      const float* const kept = mask.data == nullptr && mask.length == 0 ? from : elements<float>("mask", mask, size);
      *matrix = made(rows, columns, from, wanted, [=](int64_t i) { return kept[i] != 0; });
    }
  });
}

espalier_status espalier_sparse_free(int64_t matrix) {
  return guarded(__func__, [&] { matrices().forget(matrix); });
}

espalier_status espalier_sparse_size(int64_t matrix, int64_t* count) {
  return guarded(__func__, [&] { *count = static_cast<int64_t>(matrices().find(matrix)->values().size()); });
}

espalier_status espalier_sparse_positions(int64_t matrix, espalier_out index) {
  return guarded(__func__, [&] {
    const auto of = matrices().find(matrix);
    const sparse::Pattern& pattern = of->pattern();
    int32_t* to = elements<int32_t>("index", index, static_cast<int64_t>(pattern.column.size()));
    for (int64_t r = 0; r < pattern.rows; ++r)
      for (int64_t i = pattern.row_start[static_cast<size_t>(r)]; i < pattern.row_start[static_cast<size_t>(r) + 1];
           ++i)
        *to++ = static_cast<int32_t>(r * pattern.columns + pattern.column[static_cast<size_t>(i)]);
  });
}

espalier_status espalier_sparse_values(int64_t matrix, espalier_out values) {
  return guarded(__func__, [&] {
    const auto of = matrices().find(matrix);
    float* const to = elements<float>("values", values, static_cast<int64_t>(of->values().size()));
    std::copy(of->values().begin(), of->values().end(), to);
  });
}

espalier_status espalier_sparse_set_values(int64_t matrix, espalier_in values) {
  return guarded(__func__, [&] {
    const auto of = matrices().find(matrix);
    of->set_values(elements<float>("values", values, static_cast<int64_t>(of->values().size())));
  });
}

espalier_status espalier_sparse_unpack(int64_t matrix, espalier_out weight) {
  return guarded(__func__, [&] {
    const auto of = matrices().find(matrix);
    of->unpack(elements<float>("weight", weight, of->pattern().rows * of->pattern().columns));
  });
}

espalier_status espalier_sparse_format_of(int64_t matrix, int64_t samples, const char** name) {
  return guarded(__func__, [&] {
    const auto of = matrices().find(matrix);
    require_range("samples", samples, int64_t{0}, int64_t{1} << 53);
    *name = kept_for_good(of->format(samples).name());
  });
}

espalier_status espalier_sparse_cost(int64_t matrix, int64_t samples, double* nanoseconds) {
  return guarded(__func__, [&] {
    const auto of = matrices().find(matrix);
    require_range("samples", samples, int64_t{0}, int64_t{1} << 53);
    *nanoseconds = of->cost(samples);
  });
}

espalier_status espalier_sparse_bytes(int64_t matrix, int64_t* bytes) {
  return guarded(__func__, [&] { *bytes = matrices().find(matrix)->bytes(); });
}

espalier_status espalier_sparse_code_size(int64_t matrix, int64_t* bytes) {
  return guarded(__func__, [&] { *bytes = matrices().find(matrix)->code_size(); });
}

espalier_status espalier_sparse_making_time(int64_t matrix, double* nanoseconds) {
  return guarded(__func__, [&] { *nanoseconds = matrices().find(matrix)->making_time(); });
}

espalier_status espalier_spmm(int64_t matrix, int64_t transpose, int64_t samples, espalier_sparse_layout layout,
                              espalier_in x, espalier_in bias, espalier_finish finish, espalier_out y) {
  return guarded(__func__, [&] {
    const auto of = matrices().find(matrix);
    require_flag("transpose", transpose);
    const int64_t in = transpose ? of->pattern().rows : of->pattern().columns;
    const int64_t out = transpose ? of->pattern().columns : of->pattern().rows;
    const float* const from = elements<float>("x", x, elements_of("x", in, samples, layout));
    const float* const plus = optional_elements<float>("bias", bias, out);
    float* const to = elements<float>("y", y, elements_of("y", out, samples, layout));
    if (out > 0 && samples > 0)
      of->multiply(transpose == 1, {samples, layout}, from, plus, finish == ESPALIER_FINISH_RELU, to);
  });
}

espalier_status espalier_sddmm(int64_t matrix, int64_t samples, espalier_sparse_layout layout, espalier_in dy,
                               espalier_in x, espalier_out values) {
  return guarded(__func__, [&] {
    const auto of = matrices().find(matrix);
    const sparse::Pattern& pattern = of->pattern();
    const float* const gradient = elements<float>("dy", dy, elements_of("dy", pattern.rows, samples, layout));
    const float* const from = elements<float>("x", x, elements_of("x", pattern.columns, samples, layout));
    float* const to = elements<float>("values", values, pattern.entries());
    of->sampled({samples, layout}, gradient, from, to);
  });
}

espalier_status espalier_to_panels(int64_t samples, int64_t components, espalier_in x, espalier_out panels) {
  return guarded(__func__, [&] {
    const float* const from = elements<float>("x", x, elements_of("x", components, samples, kRows));
    float* const to = elements<float>("panels", panels, elements_of("panels", components, samples, kPanels));
    if (components == 0) return;
    parallel_for(sparse::panels_of(samples), [&](int64_t p) {
      const sparse::Layout layout = sparse::close_together(components);
      sparse::pack_panels({samples, kRows}, components, from, p, 1, layout, to + p * layout.panel);
    });
  });
}

espalier_status espalier_from_panels(int64_t samples, int64_t components, espalier_in panels, espalier_out y) {
  return guarded(__func__, [&] {
    const float* const from = elements<float>("panels", panels, elements_of("panels", components, samples, kPanels));
    float* const to = elements<float>("y", y, elements_of("y", components, samples, kRows));
    if (components == 0) return;
    parallel_for(sparse::panels_of(samples), [&](int64_t p) {
      const sparse::Layout layout = sparse::close_together(components);
      sparse::unpack_panels({samples, kRows}, {0, components, components}, from + p * layout.panel, layout, p, 1, to);
    });
  });
}

espalier_status espalier_finish_grad(int64_t samples, int64_t components, espalier_sparse_layout layout, espalier_in dy,
                                     espalier_in y, espalier_out dz, espalier_out sums) {
  return guarded(__func__, [&] {
    const int64_t size = elements_of("dz", components, samples, kPanels);
    const float* const gradient = elements<float>("dy", dy, elements_of("dy", components, samples, layout));
    const float* const made = optional_elements<float>("y", y, size);
    float* const to = elements<float>("dz", dz, size);
    float* const plus = optional_elements<float>("sums", sums, components);
    if (size > 0 && layout != kPanels && gradient == to)
      fail(ESPALIER_INVALID_ARGUMENT, "dz is the array of dy, which only a dy in panels may be");
    if (size > 0) sparse::finish_grad({samples, layout}, components, gradient, made, to, plus);
    else if (plus != nullptr) std::fill_n(plus, components, 0.0f);
  });
}

espalier_status espalier_sparse_costs(int64_t matrix, int64_t samples, espalier_out sparse, espalier_out dense) {
  return guarded(__func__, [&] {
    const auto of = matrices().find(matrix);
    require_range("samples", samples, int64_t{0}, int64_t{1} << 53);
    double* const by_kept = elements<double>("sparse", sparse, 3);
    double* const by_all = elements<double>("dense", dense, 3);
    const sparse::Pattern& pattern = of->pattern();
    by_kept[0] = of->cost(samples);
    by_kept[1] = of->cost(samples, true);
    by_kept[2] = sparse::cost_of_sampled(pattern.rows, pattern.columns, pattern.entries(), samples);
    std::fill_n(by_all, 3,
                program::dense_product_time(static_cast<double>(pattern.rows) * static_cast<double>(pattern.columns),
                                            static_cast<double>(samples)));
  });
}

espalier_status espalier_gather_kept(espalier_in weight, espalier_in index, espalier_out values) {
  return guarded(__func__, [&] {
    for_float("weight", weight.dtype, [&]<class T>(T) {
      const T* const from = elements<T>("weight", weight, weight.length);
      T* const to = elements<T>("values", values, index.length);
      sparse::gather_kept(from, kept_index(index, weight.length), index.length, to);
    });
  });
}

espalier_status espalier_scatter_kept(espalier_in values, espalier_in index, espalier_out weight) {
  return guarded(__func__, [&] {
    for_float("values", values.dtype, [&]<class T>(T) {
      const T* const from = elements<T>("values", values, index.length);
      T* const to = elements<T>("weight", weight, weight.length);
      sparse::scatter_kept(from, kept_index(index, weight.length), index.length, to);
    });
  });
}

espalier_status espalier_keeps_same(espalier_in mask, espalier_in kept, int64_t* same) {
  return guarded(__func__, [&] {
    const uint8_t* const expected = elements<uint8_t>("kept", kept, mask.length);
    for_float("mask", mask.dtype, [&]<class T>(T) {
      *same = sparse::keeps_same(elements<T>("mask", mask, mask.length), expected, mask.length) ? 1 : 0;
    });
  });
}
