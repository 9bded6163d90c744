import { along } from './along.js'

/** A row of the matrix [out, in · kernel] that a convolution is lowered to: the same weights as a filter. */
export const row = along('row', { by: ['filter'] })
