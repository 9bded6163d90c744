import { along } from './along.js'

/**
 * A fibre through the depth of a filter, W[o, :, i, j]: another name of `stripe`. DPU (Hu et al. 2023) lists a depth-wise
 * structure, and what is public of it does not define it; whole layers, which Wen et al. 2016 call so, are none of a weight's parts.
 */
export const depthwise = along('depthwise', { by: ['filter'], at: 'position' })
