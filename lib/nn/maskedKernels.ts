import { describe, EspalierError } from '../native/index.js'

/** How masked layers multiply; see `Module.maskedKernels`. */
export type MaskedKernels = 'auto' | 'dense' | 'sparse'

export function checkedKernels(wanted: unknown): MaskedKernels {
  if (wanted === 'auto' || wanted === 'dense' || wanted === 'sparse') return wanted
  throw new EspalierError('INVALID_ARGUMENT', `maskedKernels: the kernels are ${describe(wanted)}, expected 'auto', 'dense' or 'sparse'`)
}
