import { along } from './along.js'

/** A fibre through the depth of a filter, W[o, :, i, j]: the cut that DPU (Hu et al. 2023) calls so, and others a stripe. */
export const depthwise = along('depthwise', { by: ['filter'], at: 'position' })
