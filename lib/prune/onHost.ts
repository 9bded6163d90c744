import { Tensor, tensor } from '../tensor/index.js'

/**
 * A tensor apart from the tape, where masks are drawn and statistics kept: on the CPU. Its own storage, where it is there
 * already, for a look that keeps no hold of it.
 */
export const onHost = (x: Tensor): Tensor => (x.device === 'cpu' ? new Tensor(x.storage, x.shape, x.dtype) : tensor(x, { device: 'cpu' }))
