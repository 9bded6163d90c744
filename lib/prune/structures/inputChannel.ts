import { along } from './along.js'

/** All weights that read one input channel: W[:, c, …]. */
export const inputChannel = along('inputChannel', { by: ['input'] })
