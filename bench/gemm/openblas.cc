// OpenBLAS: sgemm on the same matrices.  m n k
#include <cblas.h>

#include "support/rival.h"

int main(int count, char** arguments) {
  Rival rival(count, arguments);
  const int m = static_cast<int>(rival.argument(0)), n = static_cast<int>(rival.argument(1)),
            k = static_cast<int>(rival.argument(2));
  const std::vector<float> a = rival.input<float>("a"), b = rival.input<float>("b");
  std::vector<float> c(static_cast<size_t>(m) * static_cast<size_t>(n));
  return rival.serve(c, [&] {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, n, k, 1, a.data(), k, b.data(), n, 0, c.data(), n);
  });
}
