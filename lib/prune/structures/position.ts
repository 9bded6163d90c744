import { along } from './along.js'

/** One position of the kernel through all filters and input channels, W[:, :, i, j]: the kernel loses a place everywhere. */
export const position = along('position', { by: [], at: 'position' })
