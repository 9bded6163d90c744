// What every product that works on panels shares: packing X and unpacking Y, and sharing the work among threads.
#pragma once

#include "sparse/panels.h"
#include "sparse/product.h"

namespace espalier::sparse {

class PanelProduct : public Product {
 public:
  PanelProduct(int64_t rows, int64_t columns) : rows_(rows), columns_(columns) {}
  void multiply(const Samples& samples, const float* x, const float* bias, bool relu, float* y) const final;

 protected:
  // Some panels by the rows of some groups.
  struct Work {
    int64_t first_group, last_group;
    int64_t panels;
    const float* x;
    int64_t x_panel;    // from one panel to the next, in elements
    const float* bias;  // of row 0, or null
    bool relu;
    float* y;  // of row first_row(first_group)
    int64_t y_panel;
  };
  virtual void run(const Work& work) const = 0;
  // Rows are shared out by groups: group g begins at row first_row(g), and ends where the next one begins. Where groups
  // hold rows from anywhere, that is 0 for all of them.
  virtual int64_t groups() const = 0;
  virtual int64_t first_row(int64_t group) const = 0;
  virtual bool rows_in_order() const { return true; }
  // Whether `run` reads the same component of several panels at once: then panels must not stand an even number of
  // lines apart.
  virtual bool reads_across() const { return false; }
  // Panels that are worth taking together.
  virtual int64_t panels_together() const;

  const int64_t rows_, columns_;
};

}  // namespace espalier::sparse
