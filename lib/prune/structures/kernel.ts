import { along } from './along.js'

/** The kernel between one input channel and one filter, W[o, c, …]. Mao et al. 2017. */
export const kernel = along('kernel', { by: ['filter', 'input'] })
