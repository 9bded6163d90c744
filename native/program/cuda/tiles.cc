// Linear layers of which whole tiles of weights are gone: the product skips them.
#include "program/cuda/cost.h"
#include "program/cuda/formats.h"

namespace espalier::program::cuda {
namespace {

// A way to cut a weight into tiles, and which of them hold anything.
struct Cut {
  int64_t side = 0;  // 0: there is none
  std::vector<uint8_t> kept;
  int64_t count = 0;  // of kept ones

  double share() const { return kept.empty() ? 1 : static_cast<double>(count) / static_cast<double>(kept.size()); }
};

Cut cut_into(const Task& task, int64_t side) {
  const std::vector<uint8_t>& fine = tiles_of(task).kept;
  const int64_t times = side / Tiles::kSide, across = task.columns / side, fine_across = task.columns / Tiles::kSide;
  Cut made{side, std::vector<uint8_t>(static_cast<size_t>(task.rows / side * across)), 0};
  for (size_t i = 0; i < fine.size(); ++i) {
    const int64_t row = static_cast<int64_t>(i) / fine_across, column = static_cast<int64_t>(i) % fine_across;
    uint8_t& tile = made.kept[static_cast<size_t>(row / times * across + column / times)];
    if (fine[i] != 0 && tile == 0) tile = 1, ++made.count;
  }
  return made;
}

// The largest tiles that the weight divides into, smaller ones where they leave a tenth less of it.
Cut best_cut(const Task& task) {
  Cut best;
  if (task.conv || task.weight->size() == 0) return best;
  for (const int64_t side : {int64_t{128}, int64_t{64}, int64_t{32}}) {
    if (task.rows % side != 0 || task.columns % side != 0) continue;
    Cut made = cut_into(task, side);
    if (best.side == 0 || made.share() < 0.9 * best.share()) best = std::move(made);
  }
  return best;
}

class TileProduct final : public Kernel {
 public:
  explicit TileProduct(const Task& task) : TileProduct(task, best_cut(task)) {}

  void run(int64_t batch, const float* x, float* y) const override {
    espalier_cuda_tiles shape = shape_;
    shape.n *= batch;
    const int64_t length = shape.n * shape.m;
    require_ok(espalier_cuda_tiles_forward(weight_.in(), plan_.in(), {x, shape.n * shape.k, ESPALIER_FLOAT32},
                                           bias_.in(), {y, length, ESPALIER_FLOAT32}, shape));
    if (relu_) relu(y, length);
  }
  std::string name(int64_t) const override {
    const std::string side = std::to_string(shape_.tile_rows);
    return "block-sparse GEMM, " + side + "x" + side;
  }
  int64_t bytes() const override { return weight_.bytes() + plan_.bytes() + bias_.bytes(); }

 private:
  TileProduct(const Task& task, const Cut& cut)
      : shape_{task.rows, task.columns, task.vectors, 1, cut.side, cut.side},
        weight_(task.weight->data),
        bias_(bias_of(task)),
        plan_(plan_size(), ESPALIER_INT32),
        relu_(task.relu) {
    const Array mask(cut.kept);
    require_ok(espalier_cuda_tiles_plan(mask.in(), plan_.out(), shape_));
  }
  int64_t plan_size() const {
    int64_t length = 0;
    require_ok(espalier_cuda_tiles_plan_size(shape_, &length));
    return length;
  }

  const espalier_cuda_tiles shape_;  // n: vectors a sample
  const Array weight_, bias_, plan_;
  const bool relu_;
};

double nanoseconds(const Task& task, int64_t batch) {
  const Cut cut = best_cut(task);
  if (cut.side == 0) return -1;
  return tiles_time(sizes_of(task, batch), cut.share(), static_cast<double>(cut.side)) + relu_time(task, batch);
}

}  // namespace

const Format kTiles{"tiles", nanoseconds, made_ready<TileProduct>};

}  // namespace espalier::program::cuda
