// Which convolutions a GPU multiplies by their kept weights, unless it is asked to.
import type { SparseConv2d } from '../../kernels/index.js'
import { Pattern } from '../../kernels/pattern.js'

/** What says where the outputs of a convolution lie, of one dimension or two. */
interface Convolving {
  readonly kernelSize: number | readonly number[]
  readonly geometry: { readonly stride?: unknown; readonly padding?: unknown; readonly groups?: unknown }
}

const allAre = (option: unknown, value: number): boolean => (Array.isArray(option) ? option : [option]).every((one) => one === value)

/**
 * Why a convolution's sparse kernels have no costs on a GPU; null where they have: where it takes every element as it is, so
 * that it is the product of its weight, [out, in], and the elements.
 */
export function untimedUnlessPointwise({ kernelSize, geometry: { stride = 1, padding = 0, groups = 1 } }: Convolving): string | null {
  // (The names of paddings mean none where the kernel is one element.)
  const pointwise = allAre(kernelSize, 1) && allAre(stride, 1) && (typeof padding === 'string' || allAre(padding, 0)) && groups === 1
  return pointwise
    ? null
    : "sparse kernels of convolutions were never timed on a GPU, but for 1×1, stride 1, no padding, one group: maskedKernels('sparse') asks for them"
}

/** What multiplies: the sparse product of a GPU, or the CPU's convolution. */
export const kernelName = (by: SparseConv2d | Pattern): string => (by instanceof Pattern ? by.formatFor() : 'stencil')
