import { allocateOn, type CudaSparse, type Device, type DeviceArray, nativeOnGpu, upload } from '../native/index.js'
import type { SparseMatrix } from './sparseMatrix.js'

/** Where the kept entries of a matrix stand, as the products of a GPU read it. */
export interface Pattern {
  readonly storage: DeviceArray
  /** What the kernels are told of a product with so many samples, a row each. */
  shape(samples: number): CudaSparse
}

const made = new WeakMap<SparseMatrix, Map<Device, Pattern>>()

/** A matrix's pattern on a device: made once. */
export function patternOn(matrix: SparseMatrix, device: Device): Pattern {
  const patterns = made.get(matrix) ?? new Map<Device, Pattern>()
  made.set(matrix, patterns)
  const pattern = patterns.get(device) ?? makePattern(matrix, device)
  patterns.set(device, pattern)
  return pattern
}

function makePattern(matrix: SparseMatrix, device: Device): Pattern {
  const { rows, columns, count } = matrix
  const entries = new Uint8Array(rows * columns)
  const inRow = new Int32Array(rows)
  for (const position of matrix.positions()) {
    entries[position] = 1
    inRow[Math.floor(position / columns)]++
  }
  // Where each row keeps as many, no row has to be looked up.
  const fanIn = inRow.every((kept) => kept === inRow[0]) ? (inRow[0] ?? 0) : 0
  const shape = (samples: number): CudaSparse => [rows, columns, samples, 1, fanIn]
  const mask = allocateOn(device, 'uint8', entries.length)
  upload(entries, mask)
  const storage = allocateOn(device, 'int32', nativeOnGpu.sparsePatternSize(count, ...shape(0)))
  storage.kept = true
  nativeOnGpu.sparsePattern(mask, count, storage, ...shape(0))
  mask.dispose()
  return { storage, shape }
}
