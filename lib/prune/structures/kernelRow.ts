import { along } from './along.js'

/** One row of one kernel, W[o, c, i, :]; `row` is that of the lowered matrix. */
export const kernelRow = along('kernelRow', { by: ['filter', 'input'], at: 'row' })
