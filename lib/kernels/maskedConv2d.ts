import { native, wholeNumber } from '../native/index.js'
import { applyMask } from './applyMask.js'
import { floats, maskOf } from './arguments.js'
import { type ConvPlanes, type ConvWeight, geometryOfBatch, outputLength, type Pair, pairOf } from './convGeometry.js'
import type { MaskedOptions } from './maskedMatmul.js'
import { densestSparse, type MaskArray, Remembered } from './remembered.js'
import { SparseConv2d } from './sparseConv2d.js'

/** The convolution: its planes, its weight's sizes, and where the outputs lie. */
export interface MaskedConvSizes extends ConvPlanes {
  inChannels: number
  outChannels: number
  kernelSize: Pair
  /** Channels are cut into this many groups that do not see each other. Default 1. */
  groups?: number
}

// Outputs in a row, and kept weights of an input channel, below which bringing inputs to where sparse kernels read them
// costs more than they save.
const shortRow = 7
const fewProducts = 64

const convolutions = new Remembered<SparseConv2d>('maskedConv2d')

/**
 * The convolution of x [n, inChannels, height, width] by weight ∘ mask [outChannels, inChannels / groups, kh, kw],
 * + bias: [n, outChannels, height', width']. The mask is of zeros and ones.
 *
 * What the mask leaves out costs nothing: weight ∘ mask is not made, sparse kernels go by what is kept. They are
 * prepared once for a mask (the array, and what it holds). Masks that keep more than three in five, and small
 * convolutions of small images, go through the dense convolution.
 *
 * @throws EspalierError DTYPE_MISMATCH for arrays that are not float32 (the mask may be uint8), SHAPE_MISMATCH for
 *   lengths that do not fit, INVALID_ARGUMENT for a mask of other values
 * @example
 * ```ts
 * import { kernels } from 'espalier'
 * const sizes = { inChannels: 1, outChannels: 1, kernelSize: 2, height: 2, width: 3 }
 * const weight = Float32Array.of(1, 2, 3, 4)
 * kernels.maskedConv2d(Float32Array.of(1, 2, 3, 4, 5, 6), weight, Uint8Array.of(1, 0, 0, 1), sizes) // [21, 26]
 * ```
 */
export function maskedConv2d(
  x: Float32Array,
  weight: Float32Array,
  mask: MaskArray,
  { inChannels, outChannels, kernelSize, groups = 1, ...planes }: MaskedConvSizes,
  { bias = null, relu = false, out }: MaskedOptions = {},
): Float32Array {
  const size: ConvWeight = { inChannels, outChannels, kernelSize: pairOf('maskedConv2d', 'kernelSize', kernelSize, 1), groups }
  const [height, width] = size.kernelSize
  wholeNumber('maskedConv2d: inChannels', inChannels)
  wholeNumber('maskedConv2d: outChannels', outChannels)
  wholeNumber('maskedConv2d: groups', groups, 1)
  floats('maskedConv2d', 'weight', weight, (outChannels * inChannels * height * width) / groups)
  maskOf('maskedConv2d', mask, weight.length)
  const geometry = geometryOfBatch('maskedConv2d', size, planes, 'x', floats('maskedConv2d', 'x', x))
  const short = geometry[6] < shortRow
  const sparse = convolutions.for(
    mask,
    weight,
    [inChannels, outChannels, height, width, groups, short].join(),
    (kept) => kept <= densestSparse * mask.length && !(short && kept < fewProducts * inChannels),
    () => new SparseConv2d(weight, inChannels, outChannels, kernelSize, { groups, mask }),
  )
  if (sparse !== null) return sparse.forward(x, geometry, { bias, relu, out })
  if (bias !== null) floats('maskedConv2d', 'bias', bias, outChannels)
  const y = out === undefined ? new Float32Array(outputLength(geometry)) : floats('maskedConv2d', 'out', out, outputLength(geometry))
  native.conv2dForward(x, applyMask(weight, mask), bias, relu ? 1 : 0, y, ...geometry)
  return y
}
