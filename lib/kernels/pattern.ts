import { allocateOn, type CudaSparse, type Device, type DeviceArray, nativeOnGpu, type Storage, upload } from '../native/index.js'
import type { ConvWeight } from './convGeometry.js'
import { patternCosts } from './patternCosts.js'
import type { Costs } from './sparseMatrix.js'

/** What the CPU knows of a matrix's kept entries: a `SparseMatrix`, or a `SparseConv2d` with a row for each output channel. */
export interface Placed {
  readonly rows: number
  readonly columns: number
  readonly count: number
  /** Where they stand, row by row. */
  readonly places: Int32Array
  /** Of a convolution. */
  readonly kernelSize?: readonly [height: number, width: number]
  readonly groups?: number
}

/**
 * Where the kept entries of a matrix stand, as the products of a GPU read it: made from a mask there, without a SparseMatrix.
 * Of a convolution's weight, too, which is a matrix of a row for each output channel.
 */
export class Pattern implements ConvWeight {
  readonly storage: DeviceArray
  /** They are not known to the CPU. */
  readonly places = null

  constructor(
    /** Float32 or uint8: 0 where an entry is not kept. */
    mask: DeviceArray,
    readonly rows: number,
    readonly columns: number,
    /** How many are kept. */
    readonly count: number,
    /** How many each row keeps, where that is the same for all: then no row has to be looked up. Else 0. */
    readonly fanIn = 0,
    /** Of a convolution: a column is an element of the kernel of one of a group's channels. */
    readonly kernelSize: readonly [height: number, width: number] = [1, 1],
    readonly groups = 1,
  ) {
    this.storage = allocateOn(mask.device, 'int32', nativeOnGpu.sparsePatternSize(count, ...this.shape(0)))
    this.storage.kept = true
    nativeOnGpu.sparsePattern(mask, count, this.storage, ...this.shape(0))
  }

  get outChannels(): number {
    return this.rows
  }

  get inChannels(): number {
    const [height, width] = this.kernelSize
    return (this.columns / (height * width)) * this.groups
  }

  /** What the kernels are told of a product with so many samples: a row each, or a column each. */
  shape(samples: number, samplesIn: 'rows' | 'columns' = 'rows'): CudaSparse {
    return [this.rows, this.columns, samples, samplesIn === 'rows' ? 1 : 0, this.fanIn]
  }

  /** The kept values of a dense matrix, row by row. */
  gather(weight: Storage, values: Storage): void {
    nativeOnGpu.sparseGather(weight, this.storage, values, ...this.shape(0))
  }

  /** The reverse; the other entries stay as they are. */
  scatter(values: Storage, weight: Storage): void {
    nativeOnGpu.sparseScatter(values, this.storage, weight, ...this.shape(0))
  }

  /** As those of a SparseMatrix. */
  costs(samples: number): Costs {
    return patternCosts(this, samples)
  }

  formatFor(): string {
    return 'elements'
  }

  /** Nothing: a gradient may still want it, and the garbage collector frees it behind the last. */
  retire(): void {}
}

const made = new WeakMap<Placed, Map<Device, Pattern>>()

/** A matrix's pattern on a device: made once. */
export function patternOn(matrix: Placed | Pattern, device: Device): Pattern {
  if (matrix instanceof Pattern) return matrix
  const patterns = made.get(matrix) ?? new Map<Device, Pattern>()
  made.set(matrix, patterns)
  const pattern = patterns.get(device) ?? patternOfMatrix(matrix, device)
  patterns.set(device, pattern)
  return pattern
}

function patternOfMatrix(matrix: Placed, device: Device): Pattern {
  const { rows, columns, count, kernelSize, groups } = matrix
  const entries = new Uint8Array(rows * columns)
  const inRow = new Int32Array(rows)
  for (const position of matrix.places) {
    entries[position] = 1
    inRow[Math.floor(position / columns)]++
  }
  const mask = allocateOn(device, 'uint8', entries.length)
  upload(entries, mask)
  const fanIn = inRow.every((kept) => kept === inRow[0]) ? (inRow[0] ?? 0) : 0
  const pattern = new Pattern(mask, rows, columns, count, fanIn, kernelSize, groups)
  mask.dispose()
  return pattern
}
