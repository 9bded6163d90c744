import { along } from './along.js'

/** One column of one kernel, W[o, c, :, j]; `column` is that of the lowered matrix. */
export const kernelColumn = along('kernelColumn', { by: ['filter', 'input'], at: 'column' })
