/* Compiled networks: a file that `compile` wrote, run without anything but this library.
 *
 * A program is named by a number that espalier_program_load gives and espalier_program_free takes back; a
 * number that names none is an error. It takes float32 samples of one shape and gives float32 results; how
 * many samples a call has is free. Any number of threads may run one program at once.
 *
 *   int64_t program, in, out;
 *   if (espalier_program_load(file, &program) != ESPALIER_OK) puts(espalier_last_error());
 *   espalier_program_input_size(program, &in);
 *   espalier_program_output_size(program, &out);
 *   espalier_program_run(program, batch, x, y);      x: batch * in elements, y: batch * out
 *   espalier_program_free(program); */
#ifndef ESPALIER_PROGRAM_H
#define ESPALIER_PROGRAM_H

#include "types.h"

/* A program from the bytes (uint8) of a file, which are not kept. Bytes that are not a whole, undamaged file of a
 * version that this library knows are an error, found in time and memory bounded by their number (an element
 * that is 0 takes a bit in a file, and four bytes in memory). */
ESPALIER_API espalier_status espalier_program_load(espalier_in file, int64_t* program);

/* The same from the description that a file holds, without its header: what a compiler hands over. */
ESPALIER_API espalier_status espalier_program_create(espalier_in description, int64_t* program);

/* Takes a number back. Calls that run the program at this moment finish; its memory goes with the last of them,
 * and with the last of its numbers. */
ESPALIER_API espalier_status espalier_program_free(int64_t program);

/* A second number for the same program, to be taken back by itself: for a call that will be made later. */
ESPALIER_API espalier_status espalier_program_share(int64_t program, int64_t* other);

/* Elements of a sample, and of the result of one. */
ESPALIER_API espalier_status espalier_program_input_size(int64_t program, int64_t* elements);
ESPALIER_API espalier_status espalier_program_output_size(int64_t program, int64_t* elements);

/* y [batch, output size] = the network of x [batch, input size]; both float32, dense and row-major. Formats are
 * prepared at the first run of a batch size, which takes longer. */
ESPALIER_API espalier_status espalier_program_run(int64_t program, int64_t batch, espalier_in x, espalier_out y);

/* Measures every format of every layer on batches of this size, and runs the fastest from then on; a file written
 * later remembers them. Takes some milliseconds a layer. */
ESPALIER_API espalier_status espalier_program_tune(int64_t program, int64_t batch);

/* The file: its size in bytes, and its bytes (uint8). */
ESPALIER_API espalier_status espalier_program_file_size(int64_t program, int64_t* bytes);
ESPALIER_API espalier_status espalier_program_file(int64_t program, espalier_out file);

/* What runs on what at a batch size, as text in JSON: for each step the layer, the operation, and for layers with
 * weights the format, the kernel, the density, the predicted nanoseconds and those of the other formats. With
 * `repeats` above 0 (at most 10000) the network is run so often, and each step has its measured nanoseconds (a
 * median) and layers the share of the processor's peak (one thread's) that their kept weights make use of. At
 * batch size 0 it tells the shapes and the steps alone, and prepares nothing. The text belongs to the calling thread
 * and is good until its next such call. */
ESPALIER_API espalier_status espalier_program_explain(int64_t program, int64_t batch, int64_t repeats,
                                                      const char** json);

/* What a layer that sums whole numbers multiplies by, for a proof of its sums elsewhere: weight [rows, columns] (int8),
 * and what each sum starts from, bias [rows] (int32; 0 where it has none). The layer is named by its step's place among
 * those of espalier_program_explain, which tells which steps are such layers, their rows and columns, and the least and
 * the greatest code of their inputs. */
ESPALIER_API espalier_status espalier_program_integers(int64_t program, int64_t step, espalier_out weight,
                                                       espalier_out bias);

#endif
