import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import { allocate, Tensor } from '../tensor/index.js'
import { TensorDataset } from './dataset.js'

// The packed file holds, for each image, 64 pixels, the label and 1 where it belongs to the test
// split; a byte each, stored column by column (see scripts/pack-digits.mjs).
const pixels = 64
const columns = pixels + 2

/**
 * The 1,797 handwritten digits of the UCI collection (8×8 pixels, the test part of "Optical
 * Recognition of Handwritten Digits", as in scikit-learn), in a fixed split: 1,347 to train on, 450
 * to test. Licence CC BY 4.0, see data/digits.LICENSE.md.
 *
 * @returns datasets with x [n, 1, 8, 8] float32, grey values 0 … 16, and y [n] int32, 0 … 9
 */
export function digits(): { train: TensorDataset; test: TensorDataset } {
  const packed = gunzipSync(readFileSync(fileURLToPath(new URL('../../data/digits.bin.gz', import.meta.url))))
  const count = packed.length / columns
  const chosen = (test: number): TensorDataset => {
    const rows: number[] = []
    for (let i = 0; i < count; i++) if (packed[(pixels + 1) * count + i] === test) rows.push(i)
    const x = allocate('float32', rows.length * pixels)
    const y = allocate('int32', rows.length)
    for (const [to, from] of rows.entries()) {
      for (let pixel = 0; pixel < pixels; pixel++) x[to * pixels + pixel] = packed[pixel * count + from]
      y[to] = packed[pixels * count + from]
    }
    return new TensorDataset(new Tensor(x, [rows.length, 1, 8, 8], 'float32'), new Tensor(y, [rows.length], 'int32'))
  }
  return { train: chosen(0), test: chosen(1) }
}
