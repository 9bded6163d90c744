/* Runs a network that `program.save` wrote, without Node: run net.esp samples.f32
 *
 * samples.f32 holds float32 numbers, one sample behind the other. Results go to standard output, a line a sample.
 * CMakeLists.txt beside this file finds the installed library. */
#include <espalier.h>
#include <stdio.h>
#include <stdlib.h>

static int failed(const char* what) {
  fprintf(stderr, "%s\n", what);
  return 1;
}

/* All of a file, or NULL. */
static void* contents(const char* path, size_t* size) {
  FILE* file = fopen(path, "rb");
  unsigned char* bytes = NULL;
  size_t room = 0, used = 0, got = 0;
  if (file == NULL) return NULL;
  do {
    used += got;
    if (used == room) {
      unsigned char* more = realloc(bytes, room = 2 * room + 4096);
      if (more == NULL) break;
      bytes = more;
    }
    got = fread(bytes + used, 1, room - used, file);
  } while (got > 0);
  fclose(file);
  *size = used;
  return bytes;
}

int main(int count, char** arguments) {
  size_t file_size, samples_size;
  int64_t program, in, out, batch, i, j;
  espalier_in file = {NULL, 0, ESPALIER_UINT8}, x = {NULL, 0, ESPALIER_FLOAT32};
  espalier_out y = {NULL, 0, ESPALIER_FLOAT32};
  if (count != 3) return failed("usage: run net.esp samples.f32");
  file.data = contents(arguments[1], &file_size);
  x.data = contents(arguments[2], &samples_size);
  if (file.data == NULL || x.data == NULL) return failed("a file cannot be read");

  file.length = (int64_t)file_size;
  if (espalier_program_load(file, &program) != ESPALIER_OK) return failed(espalier_last_error());
  free((void*)file.data);
  espalier_program_input_size(program, &in);
  espalier_program_output_size(program, &out);

  batch = (int64_t)(samples_size / sizeof(float)) / in;
  x.length = batch * in;
  y.length = batch * out;
  y.data = malloc((size_t)y.length * sizeof(float));
  if (y.data == NULL) return failed("no memory");
  if (espalier_program_run(program, batch, x, y) != ESPALIER_OK) return failed(espalier_last_error());
  for (i = 0; i < batch; ++i)
    for (j = 0; j < out; ++j) printf("%.9g%c", ((const float*)y.data)[i * out + j], j + 1 < out ? ' ' : '\n');

  free((void*)x.data);
  free(y.data);
  return espalier_program_free(program) == ESPALIER_OK ? 0 : failed(espalier_last_error());
}
