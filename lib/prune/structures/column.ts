import { along } from './along.js'

/** A column of the matrix [out, in · kernel] that a convolution is lowered to: W[:, c, i, j], the same place in every filter. Wen et al. 2016. */
export const column = along('column', { by: ['input'], at: 'position' })
