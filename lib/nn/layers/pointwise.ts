// Which convolutions a GPU multiplies by their kept weights.
import type { SparseConv2d } from '../../kernels/index.js'
import { Pattern } from '../../kernels/pattern.js'

/** What says where the outputs of a convolution lie, of one dimension or two. */
interface Convolving {
  readonly kernelSize: number | readonly number[]
  readonly geometry: { readonly stride?: unknown; readonly padding?: unknown; readonly groups?: unknown }
}

const allAre = (option: unknown, value: number): boolean => (Array.isArray(option) ? option : [option]).every((one) => one === value)

/**
 * Why a convolution has no sparse kernels on a GPU; null where it has: where it takes every element as it is, so that it is
 * the product of its weight, [out, in], and the elements.
 */
export function denseUnlessPointwise({ kernelSize, geometry: { stride = 1, padding = 0, groups = 1 } }: Convolving): string | null {
  // (The names of paddings mean none where the kernel is one element.)
  const pointwise = allAre(kernelSize, 1) && allAre(stride, 1) && (typeof padding === 'string' || allAre(padding, 0)) && groups === 1
  return pointwise ? null : 'on a GPU only convolutions of one element in steps of 1, without padding and groups, have sparse kernels'
}

/** What multiplies: the sparse product of a GPU, or the CPU's convolution. */
export const kernelName = (by: SparseConv2d | Pattern): string => (by instanceof Pattern ? by.formatFor() : 'stencil')
