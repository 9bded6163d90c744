#include "sparse/short_rows.h"

#include <algorithm>

#include "sparse/cost.h"
#include "sparse/panel_product.h"

namespace espalier {
namespace {
// A row's entries in a block of columns.
struct ShortRow {
  uint16_t row, entries;  // of its group
};
// Those of a group of rows in a block.
struct ShortRows {
  const ShortRow *rows, *rows_end;
  const uint16_t* offset;  // of each entry's column within the block, in bytes
  const float* values;
  bool starts;        // the first block: sums start from the bias, if there is one
  const float* bias;  // of the group
  bool raises;        // the last block, with ReLU
};
}  // namespace
}  // namespace espalier

#define ESPALIER_KERNEL "sparse/short_rows.inl"
#include "simd/each_isa.h"

namespace espalier::sparse {
namespace {

// Rows of a group, which the threads share out and within which rows are sorted; and of those groups whose sums stay in
// the second-level cache while the blocks of columns go by.
constexpr int64_t kGroup = 128, kTogether = 512;
// Panels taken at once: twelve sums in registers with AVX2 would leave too few entries to a block, four too few to
// share a value.
constexpr int64_t kPanelsAtOnce = 3;
// Columns of a block: three panels of these fill the first-level cache. Where a row would keep too few of them to be
// worth loading and storing its sums, as many more as bear being fetched again now and then.
constexpr int64_t kColumns = 176, kMostColumns = 256;
constexpr int64_t kWorth = 13;

class ShortRowsProduct final : public PanelProduct {
 public:
  ShortRowsProduct(const Pattern& pattern, const std::vector<int32_t>& origin)
      : PanelProduct(pattern.rows, pattern.columns) {
    blocks_ = blocks_of_short_rows(columns_, rows_, pattern.entries());
    std::vector<int32_t> order;
    order.reserve(origin.size());
    offset_.reserve(origin.size());
    std::vector<int64_t> next(pattern.row_start.begin(), pattern.row_start.end() - 1);
    for (int64_t g = 0; g < groups(); ++g)
      for (int64_t b = 0; b < blocks_; ++b) add_piece(pattern, origin, g, b, next, order);
    pieces_.push_back({static_cast<int64_t>(short_rows_.size()), static_cast<int64_t>(offset_.size())});
    stream_ = Stream(std::move(order));
  }

  void set_values(const float* values) override { stream_.set(values); }
  int64_t bytes() const override {
    return stream_.bytes() +
           static_cast<int64_t>(offset_.size() * sizeof(uint16_t) + short_rows_.size() * sizeof(ShortRow) +
                                pieces_.size() * sizeof(Piece));
  }

 private:
  // A group of rows by a block of columns: where it begins in the lists, and ends where the next one begins.
  struct Piece {
    int64_t rows, entries;
  };

  int64_t groups() const override { return (rows_ + kGroup - 1) / kGroup; }
  int64_t first_row(int64_t group) const override { return rows_ * group / groups(); }
  int64_t panels_together() const override { return kPanelsAtOnce; }
  int64_t first_column(int64_t block) const { return columns_ * block / blocks_; }

  // Rows of as many entries stand together, so that the number of turns of the loop over them can be foretold.
  void add_piece(const Pattern& pattern, const std::vector<int32_t>& origin, int64_t group, int64_t block,
                 std::vector<int64_t>& next, std::vector<int32_t>& order) {
    pieces_.push_back({static_cast<int64_t>(short_rows_.size()), static_cast<int64_t>(offset_.size())});
    const int64_t begin = first_row(group), end = first_row(group + 1);
    const bool needed = block == 0 || block == blocks_ - 1;  // to write the bias, to raise the sums
    const auto first_of = short_rows_.end() - short_rows_.begin();
    for (int64_t r = begin; r < end; ++r) {
      int64_t i = next[static_cast<size_t>(r)];
      while (i < pattern.end(r) && pattern.at(i) < first_column(block + 1)) ++i;
      const int64_t entries = i - next[static_cast<size_t>(r)];
      if (entries > 0 || needed)
        short_rows_.push_back({static_cast<uint16_t>(r - begin), static_cast<uint16_t>(entries)});
    }
    std::stable_sort(short_rows_.begin() + first_of, short_rows_.end(),
                     [](const ShortRow& a, const ShortRow& b) { return a.entries > b.entries; });
    for (auto row = short_rows_.begin() + first_of; row != short_rows_.end(); ++row)
      for (int64_t left = row->entries, &i = next[static_cast<size_t>(begin + row->row)]; left > 0; --left, ++i) {
        offset_.push_back(
            static_cast<uint16_t>((pattern.at(i) - first_column(block)) * kPanel * int64_t{sizeof(float)}));
        order.push_back(origin[static_cast<size_t>(i)]);
      }
  }

  void run(const Work& work) const override {
    const int64_t parts = (work.panels + kPanelsAtOnce - 1) / kPanelsAtOnce;
    for (int64_t part = 0; part < parts; ++part) {
      const int64_t p = work.panels * part / parts, panels = work.panels * (part + 1) / parts - p;
      for (int64_t first = work.first_group; first < work.last_group; first += kTogether / kGroup)
        for (int64_t b = 0; b < blocks_; ++b)
          for (int64_t g = first; g < std::min(first + kTogether / kGroup, work.last_group); ++g)
            call(work, g, b, p, panels);
    }
  }

  void call(const Work& work, int64_t group, int64_t block, int64_t panel, int64_t panels) const {
    const Piece &piece = pieces_[static_cast<size_t>(group * blocks_ + block)], &end = *(&piece + 1);
    const ShortRows view{short_rows_.data() + piece.rows,
                         short_rows_.data() + end.rows,
                         offset_.data() + piece.entries,
                         stream_.data() + piece.entries,
                         block == 0,
                         work.bias == nullptr ? nullptr : work.bias + first_row(group),
                         work.relu && block == blocks_ - 1};
    ESPALIER_ON_ISA(multiply_short_rows(
        view, panels, work.x + panel * work.x_panel + first_column(block) * kPanel, work.x_panel,
        work.y + panel * work.y_panel + (first_row(group) - first_row(work.first_group)) * kPanel, work.y_panel));
  }

  int64_t blocks_ = 1;
  std::vector<Piece> pieces_;  // by group, then by block, and one more
  std::vector<ShortRow> short_rows_;
  std::vector<uint16_t> offset_;
  Stream stream_;
};

}  // namespace

bool prefers_short_rows() { return is_avx2(); }

int64_t blocks_of_short_rows(int64_t columns, int64_t rows, int64_t entries) {
  const int64_t of_entry = rows * columns / std::max<int64_t>(1, entries);
  const int64_t most = std::clamp(kWorth * of_entry, kColumns, kMostColumns);
  return std::max<int64_t>(1, (columns + most - 1) / most);
}

std::unique_ptr<Product> make_short_rows(const Pattern& pattern, const std::vector<int32_t>& origin) {
  return std::make_unique<ShortRowsProduct>(pattern, origin);
}

}  // namespace espalier::sparse
