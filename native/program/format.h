// How the weights of a layer can be held, and what multiplies by them: one table, a line a format.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <span>

#include "espalier/conv.h"
#include "program/accumulator.h"
#include "sparse/matrix.h"

namespace espalier::program {

// Something made at the first call, by whichever thread comes first.
template <class T>
class Once {
 public:
  template <class Make>
  const std::shared_ptr<T>& get(Make make) {
    std::call_once(flag_, [&] { made_ = make(); });
    return made_;
  }

 private:
  std::once_flag flag_;
  std::shared_ptr<T> made_;
};

using IntegerMatrices = std::vector<std::unique_ptr<sparse::IntegerMatrix>>;

// Where the kept weights of a matrix stand, for products that skip by tiles and by groups.
struct Tiles {
  static constexpr int64_t kSide = 32;
  std::vector<uint8_t> kept;  // of tiles of 32×32, row by row: whether one has a weight that is not 0
  bool two_of_four = false;   // whether no four neighbours along a row have more than two
};

struct Pairs;  // of integer_planes.cc

// Weights as sparse products take them: what these cost depends on where the kept ones stand, and is asked for often.
struct Matrices {
  Once<sparse::Matrix> rows, unrolled;
  Once<IntegerMatrices> integers, unrolled_integers;
  Once<Tiles> tiles;
  Once<Pairs> pairs;  // null where their sums do not fit
};

// What x holds where a layer's input and weights are whole numbers, and what its sums then come to.
struct Codes {
  CodeRange range;
  Accumulator sums;
};

// Rows and columns of windows of 2×2, side by side.
struct Maxima {
  int64_t height, width;
};

// A layer's product: y = finish(W·x + bias) for every vector of a sample, W being [rows, columns]. A convolution's
// vectors are its output's places; `conv` says which elements they hold.
struct Task {
  int64_t rows = 0, columns = 0;
  const Tensor* weight = nullptr;
  const Tensor* bias = nullptr;  // an element a row; null: none
  bool relu = false;
  int64_t vectors = 0;                  // a sample
  std::optional<espalier_conv2d> conv;  // n: images a sample
  std::optional<Codes> codes;
  // Where a convolution's result goes to the largest of such windows alone, which formats may give in its place.
  std::optional<Maxima> maxima;
  // Of this weight; made by formats that want them.
  std::shared_ptr<Matrices> matrices = std::make_shared<Matrices>();

  double density() const {
    return weight->size() == 0 ? 1 : static_cast<double>(weight->kept) / static_cast<double>(weight->size());
  }
  // Operations a sample that the kept weights ask for; multiply and add count two.
  double flops() const { return 2.0 * static_cast<double>(weight->kept) * static_cast<double>(vectors); }
  double dense_flops() const { return 2.0 * static_cast<double>(weight->size()) * static_cast<double>(vectors); }
};

// Weights made ready in one format. Any number of threads may run it at once.
class Kernel {
 public:
  virtual ~Kernel() = default;
  virtual void run(int64_t batch, const float* x, float* y) const = 0;
  // Whether y is the largest of the task's windows.
  virtual bool gives_maxima() const { return false; }
  // Makes what runs of such a batch need and no earlier one has made: not in a run.
  virtual void make_ready(int64_t) const {}
  // What does the work, for explain; and the bytes that the format holds.
  virtual std::string name(int64_t batch) const = 0;
  virtual int64_t bytes() const = 0;
};

struct Format {
  const char* name;
  // The time of a run over a batch, roughly; negative where the format does not take the task.
  double (*nanoseconds)(const Task& task, int64_t batch);
  std::unique_ptr<Kernel> (*prepare)(const Task& task);
  // Whether it sums whole numbers, and takes tasks on codes alone; else it sums in float32.
  bool integers = false;
  // Whether its kernels give a task's maxima; the step behind those of others has its own work to do.
  bool maxima = false;
};

// The time that a format expects, where it gives the task's sums: on codes these are exact, or it is not taken.
double expected_time(const Format& format, const Task& task, int64_t batch);

// Every format of the processor, dense ones first. The numbers are no names: files name formats by `name`.
std::span<const Format* const> formats();

// Each stands behind its parts.
extern const Format kDenseLinear, kDenseConv, kDenseUnrolled, kSparseLinear, kSparseColumns, kSparsePlanes,
    kSparseStencil, kSparseUnrolled, kIntegerLinear, kIntegerColumns, kIntegerPlanes, kIntegerUnrolled;

}  // namespace espalier::program
