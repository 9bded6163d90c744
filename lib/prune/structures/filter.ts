import { along } from './along.js'

/** All weights of one output: a filter of a convolution, a neuron of a linear layer. Li et al. 2017. */
export const filter = along('filter', { by: ['filter'] })
