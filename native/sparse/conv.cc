#include "sparse/conv.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>

#include "core/parallel.h"
#include "core/scratch.h"
#include "sparse/code_memory.h"

namespace espalier::sparse {
namespace {

bool same(const espalier_conv2d& a, const espalier_conv2d& b) { return std::memcmp(&a, &b, sizeof a) == 0; }

// The taps of a phase by their elements; null for an element that the phase does not take.
std::vector<const Tap*> by_element(const std::vector<Tap>& taps, int64_t elements) {
  std::vector<const Tap*> found(static_cast<size_t>(elements));
  for (const Tap& tap : taps) found[static_cast<size_t>(tap.element)] = &tap;
  return found;
}

// Which of the packed channels, `packed`, each of so many is.
std::vector<int32_t> slots(const std::vector<int32_t>& packed, int64_t channels) {
  std::vector<int32_t> slot(static_cast<size_t>(channels));
  for (size_t i = 0; i < packed.size(); ++i) slot[static_cast<size_t>(packed[i])] = static_cast<int32_t>(i);
  return slot;
}

// Multiply-adds below which a piece of work is not worth a thread's waking.
constexpr int64_t kGrain = 1 << 18;

}  // namespace

Convolution::Convolution(const espalier_sparse_conv2d& size, std::vector<int32_t> positions, std::vector<float> values,
                         espalier_sparse_kernel kernel)
    : size_(size), kernel_(kernel), positions_(std::move(positions)), values_(std::move(values)) {
  const Stopwatch making(making_time_);
  entries_.reserve(positions_.size());
  // (All below 2³¹, as positions are: divisions of 64 bits would be most of what preparing a mask takes.)
  const auto in_group = static_cast<uint32_t>(size.groups == 0 ? 0 : size.in_channels / size.groups);
  const auto out_group = static_cast<uint32_t>(size.groups == 0 ? 0 : size.out_channels / size.groups);
  const auto width = static_cast<uint32_t>(size.kernel_width), area = static_cast<uint32_t>(size.kernel_height) * width;
  for (const int32_t position : positions_) {
    const uint32_t channel = static_cast<uint32_t>(position) / area, element = static_cast<uint32_t>(position) % area;
    const uint32_t out = channel / in_group, row = element / width;
    entries_.push_back({static_cast<int32_t>(out),
                        static_cast<int32_t>(out / out_group * in_group + channel % in_group),
                        static_cast<int32_t>(row), static_cast<int32_t>(element - row * width)});
  }
}

void Convolution::set_values(const float* values) {
  std::copy_n(values, values_.size(), values_.begin());
  const std::lock_guard<std::mutex> hold(lock_);
  for (const Known& known : known_) {
    if (known.plan->tiles != nullptr) known.plan->tiles->set_values(values_.data());
    if (known.plan->shifted != nullptr) known.plan->shifted->set_values(values_.data());
    for (const auto& phase : known.plan->phases) phase.kernel->set_values(values_.data());
  }
}

double Convolution::making_time() const {
  const std::lock_guard<std::mutex> hold(lock_);
  return making_time_;
}

int64_t Convolution::code_size() const {
  const std::lock_guard<std::mutex> hold(lock_);
  int64_t bytes = 0;
  for (size_t i = 0; i < known_.size(); ++i) {
    const auto counted = [&](const Known& other) { return other.plan == known_[i].plan; };
    if (std::any_of(known_.begin(), known_.begin() + static_cast<int64_t>(i), counted)) continue;
    if (known_[i].plan->shifted != nullptr) bytes += known_[i].plan->shifted->code_size();
    if (known_[i].plan->shifted_grad != nullptr) bytes += known_[i].plan->shifted_grad->code_size();
    for (const auto& phase : known_[i].plan->phases) bytes += phase.kernel->code_size();
  }
  return bytes;
}

Stencil Convolution::stencil(bool transposed, const Plan& plan, const Phase& phase) const {
  const Packing& packing = plan.packing;
  const auto down = by_element(packing.rows.phases[static_cast<size_t>(phase.row)], size_.kernel_height);
  const auto right = by_element(packing.columns.phases[static_cast<size_t>(phase.column)], size_.kernel_width);
  const std::vector<int32_t> slot = slots(plan.channels, transposed ? size_.out_channels : size_.in_channels);

  Stencil made;
  made.channels = transposed ? size_.in_channels : size_.out_channels;
  made.channel = packing.channel;
  made.row = packing.base(1, 0, 0);
  made.row_lines = packing.tiling.row_lines();
  made.start.assign(static_cast<size_t>(made.channels) + 1, 0);
  const auto each = [&](auto body) {
    for (size_t i = 0; i < positions_.size(); ++i) {
      const Entry& at = entries_[i];
      const Tap *const row = down[static_cast<size_t>(at.row)], *const column = right[static_cast<size_t>(at.column)];
      if (row == nullptr || column == nullptr) continue;
      const int64_t to = transposed ? at.in : at.out, from = slot[static_cast<size_t>(transposed ? at.out : at.in)];
      body(static_cast<size_t>(to), from * packing.channel + packing.offset(*row, *column), static_cast<int32_t>(i));
    }
  };
  each([&](size_t to, int64_t, int32_t) { ++made.start[to + 1]; });
  for (size_t c = 0; c < static_cast<size_t>(made.channels); ++c) made.start[c + 1] += made.start[c];
  made.line.resize(static_cast<size_t>(made.start.back()));
  made.origin.resize(made.line.size());
  std::vector<int64_t> next(made.start.begin(), made.start.end() - 1);
  each([&](size_t to, int64_t line, int32_t origin) {
    const size_t at = static_cast<size_t>(next[to]++);
    made.line[at] = static_cast<int32_t>(line);
    made.origin[at] = origin;
  });
  return made;
}

void Convolution::read_channels(Plan& plan) const {
  const bool transposed = plan.pass == Pass::kDataGrad;
  std::vector<bool> read(static_cast<size_t>(transposed ? size_.out_channels : size_.in_channels));
  for (const Entry& at : entries_) read[static_cast<size_t>(transposed ? at.out : at.in)] = true;
  for (size_t c = 0; c < read.size(); ++c)
    if (read[c]) plan.channels.push_back(static_cast<int32_t>(c));
  // Lines are counted in int32.
  if (plan.packing.channel > INT32_MAX / std::max<int64_t>(1, static_cast<int64_t>(plan.channels.size())))
    throw std::bad_alloc();
}

std::shared_ptr<Convolution::Plan> Convolution::made_shifted(Pass pass, const Axes& axes, const Tiling& tiling) const {
  if (kernel_ == ESPALIER_SPARSE_KERNEL_PORTABLE || !can_shift() || !holds_whole_rows(axes, tiling)) return nullptr;
  auto plan = std::make_shared<Plan>(pass, axes, tiling, true);
  const bool transposed = pass == Pass::kDataGrad;
  read_channels(*plan);
  const Packing& packing = plan->packing;
  // Displacements are 32 bits of bytes.
  constexpr int64_t kFar = INT32_MAX / 128;
  if (packing.channel * (static_cast<int64_t>(plan->channels.size()) + 1) > kFar || tiling.lines() > kFar / 64)
    return nullptr;
  const std::vector<int32_t> slot = slots(plan->channels, transposed ? size_.out_channels : size_.in_channels);
  // The row place, if it has one, and the column of each kernel element. (Of a gradient of one row some may have none.)
  std::vector<int32_t> row(static_cast<size_t>(size_.kernel_height), -1),
      column(static_cast<size_t>(size_.kernel_width));
  for (const Tap& tap : axes.rows.phases[0])
    row[static_cast<size_t>(tap.element)] = static_cast<int32_t>(packing.down.of(tap));
  for (const Tap& tap : axes.columns.phases[0])
    column[static_cast<size_t>(tap.element)] = static_cast<int32_t>(tap.offset);
  std::vector<ShiftedTerm> terms;
  terms.reserve(entries_.size());
  for (size_t i = 0; i < entries_.size(); ++i) {
    const Entry& at = entries_[i];
    if (row[static_cast<size_t>(at.row)] < 0) continue;
    terms.push_back({transposed ? at.in : at.out, slot[static_cast<size_t>(transposed ? at.out : at.in)],
                     row[static_cast<size_t>(at.row)], column[static_cast<size_t>(at.column)],
                     static_cast<int32_t>(i)});
  }
  constexpr int64_t kMostCode = int64_t{16} << 20;
  if (pass == Pass::kWeightGrad) {
    plan->shifted_grad = make_shifted_grad(axes, packing, size_.out_channels, std::move(terms), kMostCode);
    return plan->shifted_grad == nullptr ? nullptr : plan;
  }
  const int64_t in = transposed ? size_.out_channels : size_.in_channels;
  const int64_t out = size_.in_channels + size_.out_channels - in;
  plan->shifted = make_shifted(packing, in, out, std::move(terms), kMostCode);
  if (plan->shifted == nullptr) return nullptr;
  plan->shifted->set_values(values_.data());
  return plan;
}

std::shared_ptr<Convolution::Plan> Convolution::made_tiles(Pass pass, const Axes& axes, const Tiling& tiling) const {
  // Generated code is the faster where it shifts lines, and for strides along a row, whose tiles are read in pieces.
  if (kernel_ == ESPALIER_SPARSE_KERNEL_GENERATED) return nullptr;
  if (kernel_ == ESPALIER_SPARSE_KERNEL_AUTOMATIC && (can_shift() || (can_generate() && axes.columns.stride > 1)))
    return nullptr;
  auto tiles = make_tiles(axes);
  if (tiles == nullptr) return nullptr;
  auto plan = std::make_shared<Plan>(pass, axes, tiling, false);
  const bool transposed = pass == Pass::kDataGrad;
  read_channels(*plan);
  const std::vector<int32_t> slot = slots(plan->channels, transposed ? size_.out_channels : size_.in_channels);
  std::vector<int32_t> row, column;
  for (int64_t i = 0; i < size_.kernel_height; ++i) row.push_back(tiles->row_of(i));
  for (int64_t i = 0; i < size_.kernel_width; ++i) column.push_back(tiles->column_of(i));
  std::vector<TileTerm> terms;
  terms.reserve(entries_.size());
  for (size_t i = 0; i < entries_.size(); ++i) {
    const Entry& at = entries_[i];
    terms.push_back({transposed ? at.in : at.out, slot[static_cast<size_t>(transposed ? at.out : at.in)],
                     row[static_cast<size_t>(at.row)], column[static_cast<size_t>(at.column)],
                     static_cast<int32_t>(i)});
  }
  if (transposed)
    std::stable_sort(terms.begin(), terms.end(), [](const TileTerm& a, const TileTerm& b) { return a.out < b.out; });
  tiles->hold(std::move(terms), transposed ? size_.in_channels : size_.out_channels);
  tiles->set_values(values_.data());
  plan->tiles = std::move(tiles);
  return plan;
}

std::shared_ptr<Convolution::Plan> Convolution::made(Pass pass, const Axes& axes, const Tiling& tiling) const {
  if (auto shifted = made_shifted(pass, axes, tiling)) return shifted;
  if (auto tiles = made_tiles(pass, axes, tiling)) return tiles;
  auto plan = std::make_shared<Plan>(pass, axes, tiling, false);
  const bool transposed = pass == Pass::kDataGrad;
  read_channels(*plan);
  const Packing& packing = plan->packing;
  for (int64_t row = 0; row < tiling.rows; ++row)
    for (int64_t s = 0; s < tiling.segments; ++s)
      for (int64_t v = 0; v < tiling.vectors; ++v) plan->base.push_back(static_cast<int32_t>(packing.base(row, s, v)));
  if (pass == Pass::kWeightGrad) {
    plan->order = grad_order(packing, stencil(false, *plan, {0, 0}));
    return plan;
  }
  for (int64_t row = 0; row < static_cast<int64_t>(axes.rows.phases.size()); ++row)
    for (int64_t column = 0; column < static_cast<int64_t>(axes.columns.phases.size()); ++column) {
      plan->phases.push_back({{row, column}, make_stencil(stencil(transposed, *plan, {row, column}), kernel_)});
      plan->phases.back().kernel->set_values(values_.data());
    }
  return plan;
}

std::shared_ptr<Convolution::Plan> Convolution::plan(Pass pass, const espalier_conv2d& shape) {
  constexpr size_t kKept = 12;
  const std::lock_guard<std::mutex> hold(lock_);
  // (Tiles that go forwards add up the weight's gradient, too.)
  const auto serves = [&](const Known& one) {
    return one.pass == pass || (one.plan->tiles != nullptr && one.pass != Pass::kDataGrad && pass != Pass::kDataGrad);
  };
  const auto found = std::find_if(known_.begin(), known_.end(),
                                  [&](const Known& one) { return serves(one) && same(one.shape, shape); });
  if (found != known_.end()) {
    std::rotate(known_.begin(), found, found + 1);
    return known_.front().plan;
  }
  const Axes axes = pass == Pass::kDataGrad ? data_grad_axes(shape) : forward_axes(shape);
  const int64_t in = pass == Pass::kDataGrad ? size_.out_channels : size_.in_channels;
  const int64_t out = size_.out_channels + size_.in_channels - in;
  const Tiling tiling = tiling_of(axes, shape.n, in, out, static_cast<int64_t>(positions_.size()));
  // Another number of images may do with the same plan.
  espalier_conv2d anyhow = shape;
  std::shared_ptr<Plan> plan;
  for (const Known& one : known_) {
    anyhow.n = one.shape.n;
    if (serves(one) && same(one.shape, anyhow) && one.plan->packing.tiling == tiling) plan = one.plan;
  }
  if (plan == nullptr) {
    const Stopwatch making(making_time_);
    plan = made(pass, axes, tiling);
  }
  if (known_.size() == kKept) known_.pop_back();
  known_.insert(known_.begin(), {pass, shape, plan});
  return plan;
}

void Convolution::run(const Plan& plan, int64_t n, int64_t in, int64_t out, const float* x, const float* bias,
                      bool relu, float* y) {
  if (plan.tiles != nullptr) return plan.tiles->run(n, plan.channels, in, x, bias, relu, y);
  if (plan.shifted != nullptr) return run_shifted(plan, n, in, out, x, bias, relu, y);
  const Packing& packing = plan.packing;
  const Tiling& tiling = packing.tiling;
  const int64_t pitch = pitch_of(out);
  const int64_t units = n * tiling.bands, tasks = (units + tiling.units - 1) / tiling.units;
  const int64_t cost = static_cast<int64_t>(plan.channels.size()) * packing.channel * kLine + tiling.lines() * pitch;
  parallel_ranges(tasks, 1 + kGrain / (cost + 1), [&](int64_t task, int64_t last) {
    // (With room for a row more, see conv_stencil.h.)
    float* const packed =
        scratch<float>(Scratch::kPackB,
                       (static_cast<int64_t>(plan.channels.size()) * packing.channel + packing.base(1, 0, 0)) * kLine);
    float* const sums = scratch<float>(Scratch::kColumns, (tiling.lines() + tiling.row_lines()) * pitch);
    for (; task < last; ++task) {
      const Bands bands{task * tiling.units, std::min(tiling.units, units - task * tiling.units)};
      pack_lines(packing, bands, plan.channels, in, x, packed);
      for (const auto& [phase, kernel] : plan.phases) {
        // Bands at the lower edge may be shorter.
        int64_t rows = 0;
        for (int64_t unit = bands.first; unit < bands.first + bands.count; ++unit)
          rows = std::max(rows,
                          std::min(tiling.rows, plan.axes.rows.lattice(phase.row) - unit % tiling.bands * tiling.rows));
        if (rows == 0) continue;
        kernel->run({packed, plan.base.data(), rows * tiling.row_lines(), sums}, bias, relu);
        unpack_lines(plan.axes, tiling, phase, bands, out, sums, pitch, y);
      }
    }
  });
}

void Convolution::run_shifted(const Plan& plan, int64_t n, int64_t in, int64_t out, const float* x, const float* bias,
                              bool relu, float* y) {
  // Tiles of a task: code is fetched once for them all, so they are about as large as the code; but no larger than what
  // stays in the second-level cache.
  constexpr int64_t kTaskBytes = 512 << 10, kTasks = 8;
  const Packing& packing = plan.packing;
  const Tiling& tiling = packing.tiling;
  const Axis &rows = plan.axes.rows, &columns = plan.axes.columns;
  // (With room for a row more: the second of two may not be there.)
  const int64_t size = (static_cast<int64_t>(plan.channels.size()) * packing.channel + packing.base(1, 0, 0)) * kLine;
  const bool direct = tiling.units == 1;
  const int64_t units = n * tiling.bands, tiles = (units + tiling.units - 1) / tiling.units;
  const int64_t pitch = pitch_of(out), sums_size = direct ? 0 : (tiling.lines() + tiling.row_lines()) * pitch;
  const int64_t bytes = (size + sums_size) * static_cast<int64_t>(sizeof(float));
  const int64_t together =
      std::clamp(std::min(kTaskBytes, plan.shifted->code_size() * 3 / 4) / std::max<int64_t>(bytes, 1), int64_t{1},
                 std::max<int64_t>(1, tiles / kTasks));
  const int64_t cost = bytes / 4 * together;
  parallel_ranges((tiles + together - 1) / together, 1 + kGrain / (cost + 1), [&](int64_t task, int64_t last) {
    float* const packed = scratch<float>(Scratch::kPackB, together * size);
    float* const sums = scratch<float>(Scratch::kColumns, together * sums_size);
    std::vector<ShiftedTile> of_task;
    for (; task < last; ++task) {
      of_task.clear();
      const int64_t first = task * together, end = std::min(tiles, first + together);
      const auto bands = [&](int64_t tile) {
        return Bands{tile * tiling.units, std::min(tiling.units, units - tile * tiling.units)};
      };
      for (int64_t tile = first; tile < end; ++tile) {
        const Bands of = bands(tile);
        float* const lines = packed + (tile - first) * size;
        pack_lines(packing, of, plan.channels, in, x, lines);
        const int64_t image = of.first / tiling.bands, row = of.first % tiling.bands * tiling.rows;
        of_task.push_back(
            {lines, direct ? y + (image * out * rows.out + row) * columns.out : sums + (tile - first) * sums_size,
             direct ? std::min(tiling.rows, rows.out - row) : tiling.rows});
      }
      const ShiftedTarget target = direct ? ShiftedTarget{rows.out * columns.out, columns.out, 0}
                                          : ShiftedTarget{kLine, tiling.vectors * pitch, pitch};
      ShiftedAhead ahead;
      if (tiling.bands == 1 && task + 1 < last) {
        const int64_t plane = in * packing.rows.in * packing.columns.in, image = end * tiling.units;
        ahead = {x + image * plane, (std::min(n, image + together * tiling.units) - image) * plane};
      }
      plan.shifted->run(of_task.data(), end - first, target, bias, relu, ahead);
      if (!direct)
        for (int64_t tile = first; tile < end; ++tile)
          unpack_lines(plan.axes, tiling, {0, 0}, bands(tile), out, sums + (tile - first) * sums_size, pitch, y);
    }
  });
}

void Convolution::forward(const espalier_conv2d& s, const float* x, const float* bias, bool relu, float* y) {
  if (s.n == 0 || s.out_channels == 0 || s.out_height == 0 || s.out_width == 0) return;
  run(*plan(Pass::kForward, s), s.n, s.in_channels, s.out_channels, x, bias, relu, y);
}

void Convolution::data_grad(const espalier_conv2d& s, const float* dy, float* dx) {
  if (s.n == 0 || s.in_channels == 0 || s.in_height == 0 || s.in_width == 0) return;
  run(*plan(Pass::kDataGrad, s), s.n, s.out_channels, s.in_channels, dy, nullptr, false, dx);
}

void Convolution::weight_grad(const espalier_conv2d& s, const float* x, const float* dy, float* values) {
  if (values_.empty()) return;
  if (s.n == 0 || s.in_height == 0 || s.in_width == 0 || s.out_height == 0 || s.out_width == 0) {
    std::fill_n(values, values_.size(), 0.0f);
    return;
  }
  const auto of = plan(Pass::kWeightGrad, s);
  if (of->tiles != nullptr) of->tiles->weight_grad(s.n, of->channels, s.in_channels, x, dy, values);
  else if (of->shifted_grad != nullptr) of->shifted_grad->run(s.n, of->channels, s.in_channels, x, dy, values);
  else
    sparse::weight_grad(of->axes, of->packing, of->order, s.n, of->channels, s.in_channels, s.out_channels, x, dy,
                        values);
  check_nan(s, x, dy, values);
}

// Lanes beside the outputs are zeros of dy, and lanes beside the plane zeros of x. Times what is infinite or NaN they
// are NaN in a sum that has no such term. That is seen by the sum alone: one that is NaN is added up anew, term by
// term.
void Convolution::check_nan(const espalier_conv2d& s, const float* x, const float* dy, float* values) const {
  const auto sum_of = [&](const Entry& at) {
    const int64_t left = at.column * s.dilation_width - s.padding_left;
    double sum = 0;
    for (int64_t image = 0; image < s.n; ++image)
      for (int64_t i = 0; i < s.out_height; ++i) {
        const int64_t row = i * s.stride_height + at.row * s.dilation_height - s.padding_top;
        if (row < 0 || row >= s.in_height) continue;
        const float* const from = x + ((image * s.in_channels + at.in) * s.in_height + row) * s.in_width;
        const float* const by = dy + ((image * s.out_channels + at.out) * s.out_height + i) * s.out_width;
        for (int64_t j = 0; j < s.out_width; ++j) {
          const int64_t column = j * s.stride_width + left;
          if (column >= 0 && column < s.in_width) sum += static_cast<double>(by[j]) * from[column];
        }
        if (std::isnan(sum)) return sum;
      }
    return sum;
  };
  for (size_t i = 0; i < entries_.size(); ++i)
    if (std::isnan(values[i])) values[i] = static_cast<float>(sum_of(entries_[i]));
}

}  // namespace espalier::sparse
