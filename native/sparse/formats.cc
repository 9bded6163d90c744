#include "core/failure.h"
#include "sparse/format.h"

namespace espalier::sparse {
namespace {

using Made = std::unique_ptr<Format>;
using Parameters = std::vector<int64_t>;

template <Made (*Make)()>
Made plain(const Parameters&) {
  return Make();
}
template <Made (*Make)(int64_t, int64_t)>
Made of_two(const Parameters& parameters) {
  return Make(parameters[0], parameters[1]);
}

// A line a format: what makes it, of how many parameters, and with which an automatic matrix tries it. Structures that
// gain nothing over single entries are not tried.
struct Line {
  espalier_sparse_format kind;
  size_t parameters;
  Made (*make)(const Parameters&);
  std::vector<Parameters> tried;
};
const std::vector<Line>& lines() {
  static const std::vector<Line> all{
      {ESPALIER_SPARSE_FORMAT_GENERATED, 0, plain<generated_format>, {{}}},
      {ESPALIER_SPARSE_FORMAT_ROWS, 0, plain<rows_format>, {{}}},
      {ESPALIER_SPARSE_FORMAT_VECTOR, 0, plain<vector_format>, {{}}},
      {ESPALIER_SPARSE_FORMAT_FAN_IN, 0, plain<fan_in_format>, {}},
      {ESPALIER_SPARSE_FORMAT_N_OF_M, 2, of_two<n_of_m_format>, {}},
      {ESPALIER_SPARSE_FORMAT_BLOCKS, 2, of_two<blocks_format>, {{8, 1}, {4, 1}, {4, 4}, {1, 4}}},
      {ESPALIER_SPARSE_FORMAT_CHANNELS, 0, plain<channels_format>, {{}}},
      {ESPALIER_SPARSE_FORMAT_DENSE, 0, plain<dense_format>, {{}}},
  };
  return all;
}

}  // namespace

std::shared_ptr<const Format> make_format(espalier_sparse_format kind, const Parameters& parameters) {
  for (const Line& line : lines()) {
    if (line.kind != kind) continue;
    if (parameters.size() != line.parameters)
      fail(ESPALIER_INVALID_ARGUMENT, "parameters has %zu entries, expected %zu", parameters.size(), line.parameters);
    return line.make(parameters);
  }
  fail(ESPALIER_INVALID_ARGUMENT, "there is no format %d", static_cast<int>(kind));
}

const std::vector<std::shared_ptr<const Format>>& candidates() {
  static const std::vector<std::shared_ptr<const Format>> all = [] {
    std::vector<std::shared_ptr<const Format>> made;
    for (const Line& line : lines())
      for (const Parameters& parameters : line.tried) made.push_back(line.make(parameters));
    return made;
  }();
  return all;
}

}  // namespace espalier::sparse
