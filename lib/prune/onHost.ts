import { type Tensor, tensor } from '../tensor/index.js'

/** A tensor apart from the tape, where masks are drawn and statistics kept: on the CPU. Its own storage, where it is there already. */
export const onHost = (x: Tensor): Tensor => tensor(x, { device: 'cpu' })
