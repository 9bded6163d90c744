import { along } from './along.js'

/** One position of a filter through all its input channels, W[o, :, i, j]. Meng et al. 2020. */
export const stripe = along('stripe', { by: ['filter'], at: 'position' })
