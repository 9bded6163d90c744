/* The header is C: this compiles as C99 without extensions, links the shared library and calls it. */
#include <espalier.h>
#include <stdio.h>
#include <string.h>

static int failures = 0;

static void expect(int condition, const char* what) {
  if (condition) return;
  printf("failed: %s\n", what);
  ++failures;
}

int main(void) {
  float x[5] = {1, -2, 3, -4, 5}, y[5] = {9, 9, 9, 9, 9};
  const char* isa = NULL;
  int64_t threads = 0;
  espalier_in in;
  espalier_out out;
  in.data = x;
  in.length = 5;
  in.dtype = ESPALIER_FLOAT32;
  out.data = y;
  out.length = 5;
  out.dtype = ESPALIER_FLOAT32;

  expect(espalier_isa(&isa) == ESPALIER_OK && isa != NULL, "an instruction set is in use");
  expect(espalier_threads(&threads) == ESPALIER_OK && threads >= 1, "there is a thread");
  expect(espalier_accumulate(in, out) == ESPALIER_OK, "a call succeeds");
  expect(y[0] == 10 && y[1] == 7 && y[4] == 14, "its result is right");
  out.length = 4;
  expect(espalier_accumulate(in, out) == ESPALIER_SHAPE_MISMATCH, "a wrong length is refused");
  expect(strcmp(espalier_last_error(), "accumulate: y has 4 elements, expected 5") == 0, espalier_last_error());
  expect(y[0] == 10, "and nothing was written");
  printf("%d passed, %d failed\n", 7 - failures, failures);
  return failures != 0;
}
